"""Fetching: a worker downloads a job's slide from its URL, beside running scans, and then enqueues the job's scan.

After a crash a fetch starts from the beginning; a job whose slide is stored already does not change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from service.access.limits import Allowance, require_disk
from service.jobs import lifecycle
from service.jobs.dbos_queue import QueueClient
from service.jobs.lifecycle import Job, JobState, ScanRequest, TransitionError
from service.jobs.store import JobNotFoundError, Store
from service.jobs.submission import check_exports
from service.settings import Settings
from service.slides_in.dicomweb import instance_name, is_series
from service.slides_in.multipart import BadRequestError, Multipart
from service.slides_in.quotas import allowance_for, keep_slide
from service.slides_in.remote import Remote, SourceFetchError, open_url
from service.slides_in.store_slide import StoredSlide, receive_files, receive_raw
from service.worker import resource_bounds
from service.worker.reporter import Reporter

#: Seconds between two records of a fetch's progress; a cancelled fetch ends at the next one.
NOTE_INTERVAL = 0.5

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Fetcher:
    """Fetches slides for the jobs of a store."""

    settings: Settings
    store: Store
    queues: QueueClient
    reporter: Reporter

    def fetch_slide(self, job_id: str) -> None:
        """Fetch the slide of a job and enqueue its scan; fail the job if that is impossible."""
        try:
            job = self.store.get(job_id)
        except JobNotFoundError:
            return
        if job.state is not JobState.QUEUED or not job.awaits_slide:
            return
        with suppress(TransitionError, JobNotFoundError):  # Cancelled or removed meanwhile.
            try:
                request = asyncio.run(self._fetch(job))
            except (TransitionError, JobNotFoundError):
                raise
            except Exception as error:  # Whatever the error, the job must end with a problem.
                self._fail(job, error)
            else:
                self.store.update(job.id, partial(lifecycle.finish_fetch, request=request), then=self.queues.enqueue)
                _log.info("slide fetched", job=job.id, slide=request.slide_sha256)

    async def _fetch(self, job: Job) -> ScanRequest:
        assert job.fetch
        async with open_url(job.fetch.url, self.settings) as remote:
            require_disk(self.settings, remote.size or 0)
            allowance = allowance_for(self.settings, job.client)
            allowance.require(remote.size or 0)
            slide = await self._receive(remote, job, allowance)
        keep_slide(self.settings, job.client, slide)
        check_exports(job.request.exports, slide)
        return _request_for(job, slide)

    async def _receive(self, remote: Remote, job: Job, allowance: Allowance) -> StoredSlide:
        assert job.fetch
        chunks = self._watched(remote, job)
        if not is_series(job.fetch.url):
            return await receive_raw(chunks, self.settings, allowance=allowance, name=job.request.slide_name)
        try:
            body = Multipart(remote.content_type, instance_name)
            return await receive_files(chunks, self.settings, allowance=allowance, body=body)
        except BadRequestError as error:
            raise SourceFetchError(f"what the DICOMweb server answered is not a series: {error}") from error

    async def _watched(self, remote: Remote, job: Job) -> AsyncIterator[bytes]:
        """The slide's bytes; records progress, and raises when the job has ended or its time is over."""
        done, next_note = 0, 0.0
        deadline = time.monotonic() + resource_bounds.timeout_s(job, self.settings)
        async for chunk in remote.chunks:
            done += len(chunk)
            now = time.monotonic()
            if now > deadline:
                raise SourceFetchError(
                    f"the slide was not fetched within {resource_bounds.timeout_s(job, self.settings):g} s"
                )
            if now >= next_note:
                next_note = now + NOTE_INTERVAL
                self.store.update(job.id, partial(lifecycle.advance_fetch, bytes_done=done, bytes_total=remote.size))
            yield chunk

    def _fail(self, job: Job, error: Exception) -> None:
        problem = resource_bounds.problem_of(error, job, self.settings)
        ended = self.store.update(job.id, partial(lifecycle.fail, problem=problem, now=time.time()))
        _log.info("slide not fetched", job=job.id, reason=problem["type"], detail=problem["detail"])
        self.reporter.ended(ended)


def _request_for(job: Job, slide: StoredSlide) -> ScanRequest:
    return replace(job.request, slide=slide.path, slide_sha256=slide.sha256)
