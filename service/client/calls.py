"""The client: one method for each operation of the API."""

from __future__ import annotations

import os
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack

import httpx
from pydantic import BaseModel

from service.api.contract.schemas import DetectionsOut, FileList, JobOut, ModelsOut, UploadOut
from service.api.contract.worklists import JobList
from service.client.attempts import PIECE_COMES_BACK, attempts, check
from service.client.choices import ScanChoices
from service.client.rescans import RescanCalls
from service.jobs.lifecycle import JobState
from service.jobs.summary import JobSummary

#: Bytes per request of a resumable upload: at most so many are sent again when a connection breaks.
PIECE = 64 << 20
READ_SIZE = 1 << 20
POLL_INTERVAL = 1.0  # seconds
_TUS = {"Tus-Resumable": "1.0.0"}
_Out = TypeVar("_Out", bound=BaseModel)


class Client(RescanCalls):
    """A client of one service. Requests that are answered 429 or 503, or not at all, are repeated.

    Examples
    --------
    With a service on this machine (`mitoscan serve`):

    >>> from service.client import Client
    >>> with Client("http://127.0.0.1:8000") as client:
    ...     job = client.detect("field.png", threshold=0.3)
    ...     job = client.wait(job.id)
    ...     path = client.download(job.id, "detections.geojson", ".")
    >>> job.status.value, path.name
    ('SUCCEEDED', 'detections.geojson')
    """

    def __init__(self, address: str, key: str | None = None, *, timeout_s: float = 120.0) -> None:
        headers = {"X-API-Key": key} if key else {}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def detect(self, slide: str | os.PathLike[str], *, wait: bool = True, **choices: Unpack[ScanChoices]) -> JobOut:
        """Upload a slide and submit its scan: the job has its result if the slide is small, and is queued otherwise.

        With `wait=False` it is queued for small slides too.

        Raises
        ------
        ServiceError
            The service refuses, or the scan of a small slide has failed.
        """
        return self.detect_source({"upload": self.upload(slide)}, wait=wait, **choices)

    def detect_source(self, source: dict[str, str], *, wait: bool = True, **choices: Unpack[ScanChoices]) -> JobOut:
        """Submit the scan of a slide at `{"upload"}`, `{"path"}` on the server, or `{"url"}`."""
        # With a key, a request whose answer was lost can be sent again without a second job.
        headers = {"Idempotency-Key": uuid.uuid4().hex} | ({} if wait else {"Prefer": "respond-async"})
        return self._ask(JobOut, "POST", "/detect", json={"source": source}, params=dict(choices), headers=headers)

    def upload(
        self, slide: str | os.PathLike[str], on_progress: Callable[[int, int], None] = lambda _sent, _total: None
    ) -> str:
        """Upload a slide, resuming after broken connections; returns the id of the upload.

        Parameters
        ----------
        slide : path
            A slide, or a zip with the files of one.
        on_progress : callable
            Called after each piece with the bytes uploaded and the total.
        """
        path = Path(slide)
        total = path.stat().st_size
        headers = {"Upload-Length": str(total), "Upload-Metadata": f"filename {_base64(path.name)}"}
        place = self._address(self._send("POST", "/uploads/tus/", headers=_TUS | headers).headers["location"])
        sent = 0
        with path.open("rb") as file:
            while sent < total:
                sent = attempts(PIECE_COMES_BACK)(self._send_piece, place, file, total)
                on_progress(sent, total)
        return place.rsplit("/", 1)[-1]

    def upload_at_once(self, slide: str | os.PathLike[str]) -> UploadOut:
        """Upload a slide in one request: a little faster, but from the start again if the connection breaks."""
        path = Path(slide)
        with path.open("rb") as file:
            answer = self._once("PUT", f"/uploads/{path.name}", content=_pieces(file, path.stat().st_size))
        return UploadOut.model_validate_json(answer.content)

    def job(self, job_id: str) -> JobOut:
        """A job, with its progress or its result."""
        return self._ask(JobOut, "GET", f"/jobs/{job_id}")

    def jobs(self, state: JobState | None = None) -> Iterator[JobSummary]:
        """The client's own jobs, newest first."""
        address: str | None = f"/jobs?state={state}" if state else "/jobs"
        while address:
            page = self._ask(JobList, "GET", address)
            yield from page.jobs
            address = page.next and self._address(page.next)

    def wait(
        self, job_id: str, *, timeout_s: float | None = None, on_change: Callable[[JobOut], None] = lambda _job: None
    ) -> JobOut:
        """The job once it has ended, in whatever state.

        Raises
        ------
        TimeoutError
            It has not ended in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            job = self.job(job_id)
            on_change(job)
            if job.status.is_final:
                return job
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is {job.status}")
            time.sleep(POLL_INTERVAL)

    def detections(self, job_id: str, threshold: float | None = None) -> DetectionsOut:
        """The detections of a job at any threshold, of as many pages as there are."""
        params = {} if threshold is None else {"threshold": threshold}
        ask = partial(self._ask, DetectionsOut, "GET", f"/jobs/{job_id}/detections")
        found = ask(params=params)
        while len(found.detections) < found.total:
            page = ask(params=params | {"offset": len(found.detections)})
            if not page.detections:  # The files have been replaced meanwhile.
                break
            found.detections += page.detections
        return found

    def files(self, job_id: str) -> FileList:
        """The files of a job's result."""
        return self._ask(FileList, "GET", f"/jobs/{job_id}/files")

    def download(self, job_id: str, name: str, folder: str | os.PathLike[str]) -> Path:
        """Download a file of a job's result into a folder; returns its path."""
        target = Path(folder) / Path(name).name
        with self._http.stream("GET", f"/jobs/{job_id}/files/{name}") as answer:
            check(answer)
            part = target.with_name(f"{target.name}.part")
            with part.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        return part.replace(target)

    def cancel(self, job_id: str) -> JobOut:
        """Cancel a job; a running one stops at its next tile."""
        return self._ask(JobOut, "DELETE", f"/jobs/{job_id}")

    def purge(self, job_id: str) -> None:
        """Delete a job, and its result and upload unless another job needs them."""
        self._send("DELETE", f"/jobs/{job_id}", params={"purge": "true"})

    def delete_upload(self, upload_id: str) -> None:
        """Delete an upload that no open job reads."""
        self._send("DELETE", f"/uploads/{upload_id}")

    def retry(self, job_id: str) -> JobOut:
        """Submit a failed or cancelled job again; returns the new job."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return self._ask(JobOut, "POST", f"/jobs/{job_id}/retry", headers=headers)

    def models(self) -> ModelsOut:
        """The available models, with their cards."""
        return self._ask(ModelsOut, "GET", "/models")

    def _address(self, link: str) -> str:
        """The address of a link, which has a proxy's prefix already: as a path it would get it twice."""
        return str(self._http.base_url.copy_with(raw_path=httpx.URL(link).raw_path))

    def _send_piece(self, place: str, file: Any, total: int) -> int:
        """Send the next piece from the service's offset; returns the new offset."""
        sent = int(self._once("HEAD", place, headers=_TUS).headers["upload-offset"])
        if sent == total:
            return sent
        file.seek(sent)
        size = min(PIECE, total - sent)
        headers = {"Upload-Offset": str(sent), "Content-Type": "application/offset+octet-stream"}
        headers["Content-Length"] = str(size)
        answer = self._once("PATCH", place, content=_pieces(file, size), headers=_TUS | headers)
        return int(answer.headers["upload-offset"])

    def _ask(self, kind: type[_Out], method: str, path: str, **options: Any) -> _Out:
        return kind.model_validate_json(self._send(method, path, **options).content)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer: httpx.Response = attempts()(self._once, method, path, **options)
        return answer

    def _once(self, method: str, path: str, **options: Any) -> httpx.Response:
        return check(self._http.request(method, path, **options))


def _pieces(file: Any, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(READ_SIZE, size))):
        size -= len(chunk)
        yield chunk


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
