"""STOW: sends the annotations of a finished job to a DICOMweb server (STOW-RS, DICOM PS3.18 chapter 10.5).

An attempt may be repeated: UIDs of annotations come from their content, so that a server that has them keeps one copy.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from service.access.allowlist import is_allowed_http
from service.access.outbound import authorization_for, open_client, reason_of
from service.jobs.delivery import Delivery, delivered, needless, refused
from service.jobs.lifecycle import Job, JobState
from service.jobs.store import JobNotFoundError, Store
from service.problems import ReportedError
from service.results.results import FileNotInResultError, ResultGoneError, Results
from service.settings import Settings

TIMEOUT = 60.0  # seconds without a byte
ANNOTATIONS = "annotations.dcm"
PIECE = 1 << 20
#: Most bytes of an answer that are read.
MAX_ANSWER = 1 << 20
#: Failure reason of a server that has the object already (PS3.18 table I.2-2).
DUPLICATE = 0x0111
#: Tags of the answer.
_STORED, _FAILED, _URL, _REASON = "00081199", "00081198", "00081190", "00081197"

_log = logging.getLogger(__name__)


class StoreForbiddenError(ReportedError):
    """The DICOMweb server is not on the allow list."""

    problem_type = "store-forbidden"


class StoreFailedError(Exception):
    """The DICOMweb server has not stored the annotations."""


def check_store(url: str | None, settings: Settings) -> None:
    """Raise StoreForbiddenError unless this service may store at that DICOMweb server."""
    if url is None:
        return
    if not is_allowed_http(_place(url), settings.store_prefixes):
        raise StoreForbiddenError("the DICOMweb server is not on this service's allow list (store_prefixes)")
    if "?" in url or "#" in url:
        raise StoreForbiddenError("the address of a DICOMweb server must not have a query or a fragment")


@dataclass(frozen=True)
class Stow:
    """Sends annotations, and records with each job what became of them."""

    settings: Settings
    store: Store
    results: Results

    def store_annotations(self, job_id: str) -> None:
        """Send the annotations of a job that has succeeded; StoreFailedError unless the server has stored them."""
        try:
            job = self.store.get(job_id)
        except JobNotFoundError:  # Removed in the meantime.
            return
        if job.options.store is None or job.state is not JobState.SUCCEEDED:
            return
        delivery = job.delivery or Delivery()
        try:
            check_store(job.options.store, self.settings)
            path = self._annotations(job)
            if path is None:
                self._record(job, needless(delivery, now=time.time()))
                return
            url = send(path, job.options.store, self.settings)
        except (StoreFailedError, StoreForbiddenError, ResultGoneError) as error:
            is_last = delivery.attempts + 1 >= self.settings.webhook_attempts
            self._record(job, refused(delivery, detail=str(error), now=time.time(), is_last=is_last))
            _log.warning("the annotations of job %s are not stored: %s", job_id, error)
            raise
        self._record(job, delivered(delivery, url=url, now=time.time()))

    def _annotations(self, job: Job) -> Path | None:
        try:
            return self.results.file(job.request.result_key, ANNOTATIONS)
        except FileNotInResultError:
            return None

    def _record(self, job: Job, delivery: Delivery) -> None:
        self.store.update(job.id, lambda now: replace(now, delivery=delivery))


def send(path: Path, server: str, settings: Settings) -> str | None:
    """Store a DICOM file on a server; returns the address that the server gives it, if it does.

    Raises
    ------
    StoreFailedError
        The server cannot be reached, or does not store the file.
    """
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    headers = authorization_for(_place(server), settings) | {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
        "Accept": "application/dicom+json",
    }
    try:
        with (
            open_client(settings, timeout=TIMEOUT) as client,
            client.stream("POST", _place(server), content=_pieces(path, head, tail), headers=headers) as response,
        ):
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise StoreFailedError(f"the DICOMweb server's answer has more than {MAX_ANSWER} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreFailedError(f"the DICOMweb server could not be reached: {reason_of(error)}") from error
    return read_answer(response.status_code, body)


def read_answer(status: int, body: bytes) -> str | None:
    """The address of the one object that was sent, from the server's answer; StoreFailedError if it was not stored."""
    try:
        told = json.loads(body)
        stored, failed = _items(told, _STORED), _items(told, _FAILED)
    except (ValueError, TypeError, AttributeError, RecursionError):  # No DICOMweb server: a proxy's page, say.
        stored, failed = [], []
    reasons = [_value(item, _REASON) for item in failed]
    if reasons == [DUPLICATE]:
        return None
    if reasons:
        said = ", ".join(f"{reason:#06x}" if isinstance(reason, int) else "no reason" for reason in reasons)
        raise StoreFailedError(f"the DICOMweb server refused the annotations: failure reason {said}")
    if not 200 <= status < 300 or not stored:
        raise StoreFailedError(f"the DICOMweb server answered {status}, and does not say that it has stored anything")
    url = _value(stored[0], _URL)
    return url if isinstance(url, str) else None


def _items(told: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return [item for item in told.get(tag, {}).get("Value", []) if isinstance(item, dict)]


def _value(item: dict[str, Any], tag: str) -> object:
    values = item.get(tag)
    found = values.get("Value") if isinstance(values, dict) else None
    return found[0] if isinstance(found, list) and found else None


def _pieces(path: Path, head: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield tail


def _place(server: str) -> str:
    """Where a DICOMweb server takes objects."""
    return f"{server.rstrip('/')}/studies"
