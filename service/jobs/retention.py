"""Retention: removes what is expired or beyond the quota, but nothing that an open job needs, and no file of others.

Any worker may do this at any time, even two at once. What cannot be removed is left for the next time, and does not
keep the rest from being removed.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from service.jobs.dbos_queue import QueueClient
from service.jobs.lifecycle import Job
from service.jobs.store import Store
from service.results.results import Results
from service.settings import Settings
from service.slides_in.holdings import holdings_folder, release
from service.slides_in.store_slide import folder_size, incoming_folder, is_sha256
from service.slides_in.tus import KEEP_S, is_id, tus_folder

DAY = 86_400.0  # seconds
#: An upload that no job uses, or an incomplete one, is kept this long.
GRACE = 3600.0  # seconds
#: Name of the work folder of a job, or of a later attempt.
_WORK = re.compile(r"([0-9a-f]{32})(\.\d+)?")

_log = logging.getLogger(__name__)


def clean(
    store: Store,
    queues: QueueClient,
    settings: Settings,
    now: float,
    *,
    reviewed: Callable[[Iterable[str]], set[str]] = lambda _ids: set(),
) -> None:
    """Remove finished jobs past their time or beyond the quota, then files and queue entries that no job needs.

    Of a job that people have reviewed (`reviewed` says which of these ids) the files go and the row stays: their work
    is in no file.
    """
    rows = store.list_rows(limit=1_000_000)
    readable = [row for row in rows if isinstance(row, Job)]
    kept, gone = split_by_age(readable, before=now - settings.keep_days * DAY)
    if settings.quota_bytes:
        kept, more = split_by_size(kept, settings)
        gone += more
    lasting = reviewed(job.id for job in gone)
    for job in gone:
        if job.id not in lasting:
            store.delete(job.id)
    old, steps = now - GRACE, list[Callable[[], object]]()
    if len(readable) == len(rows):
        needed = (_remove_results, _remove_work, _remove_slides)
        steps += [partial(remove, kept, settings, older_than=old) for remove in needed]
    else:
        _log.warning(
            "no results or uploads are removed: %d jobs written by another version may need them",
            len(rows) - len(readable),
        )
    steps += [
        partial(_remove_old, incoming_folder(settings), older_than=old),
        partial(_remove_old, tus_folder(settings), older_than=old - KEEP_S),
        partial(_forget_holdings, settings),
        partial(queues.forget_ended, before=now - settings.keep_days * DAY),
    ]
    for step in steps:
        try:
            step()
        except Exception:  # One folder that cannot be read must not keep the disk from being cleaned.
            _log.exception("a step of the cleaning failed")


def split_by_age(jobs: list[Job], *, before: float) -> tuple[list[Job], list[Job]]:
    """(kept, gone): gone are those that were final before that time."""
    kept: list[Job] = []
    gone: list[Job] = []
    for job in jobs:
        is_old = job.state.is_final and (job.finished_at or job.created_at) < before
        (gone if is_old else kept).append(job)
    return kept, gone


def split_by_size(jobs: list[Job], settings: Settings) -> tuple[list[Job], list[Job]]:
    """(kept, gone): the newest jobs whose uploads and results fit into the quota, and open ones in any case."""
    kept: list[Job] = []
    gone: list[Job] = []
    used = 0
    seen: set[Path] = set()
    for job in sorted(jobs, key=lambda job: (not job.state.is_final, job.created_at), reverse=True):
        folders = {settings.results / job.request.result_key, *_upload_of(job, settings)} - seen
        used += sum(folder_size(folder) for folder in folders)
        if job.state.is_final and used > settings.quota_bytes:
            gone.append(job)
        else:
            kept.append(job)
            seen |= folders
    return kept, gone


def _remove_results(jobs: list[Job], settings: Settings, *, older_than: float) -> None:
    results = Results(settings.results)
    keys = {job.request.result_key for job in jobs}
    for folder in _entries(settings.results):
        if is_sha256(folder.name) and folder.name not in keys and _changed_at(folder) < older_than:
            results.remove(folder.name)


def _remove_work(jobs: list[Job], settings: Settings, *, older_than: float) -> None:
    """Remove work folders whose jobs have ended or do not exist."""
    open_jobs = {job.id for job in jobs if not job.state.is_final}
    for folder in _entries(settings.results / "work"):
        match = _WORK.fullmatch(folder.name)
        if match and match[1] not in open_jobs and _last_changed_at(folder) < older_than:
            _remove(folder)


def _remove_slides(jobs: list[Job], settings: Settings, *, older_than: float) -> None:
    needed = {folder for job in jobs for folder in _upload_of(job, settings)}
    for folder in _entries(settings.uploads):
        if is_sha256(folder.name) and folder not in needed and _changed_at(folder) < older_than:
            _remove(folder)


def _remove_old(folder: Path, *, older_than: float) -> None:
    """Remove incomplete uploads that have not grown for long."""
    for part in _entries(folder):
        if is_id(part.name) and _last_changed_at(part) < older_than:
            _remove(part)


def _forget_holdings(settings: Settings) -> None:
    """Remove the records of who keeps slides that no longer exist."""
    held = {path.name for path in holdings_folder(settings).glob("*/*") if is_sha256(path.name)}
    for sha256 in held:
        if not (settings.uploads / sha256).exists():
            release(settings, sha256)


def _upload_of(job: Job, settings: Settings) -> list[Path]:
    """The upload folder that a job reads from; none if it reads from the server's own folders, or has no slide yet."""
    path = Path(job.request.slide)
    return [] if path.is_absolute() or not job.request.slide else [(settings.data.resolve() / path).parent]


def _entries(folder: Path) -> Iterator[Path]:
    """The entries of a folder at this moment; none if it does not exist."""
    with suppress(FileNotFoundError):
        yield from list(folder.iterdir())


def _changed_at(path: Path) -> float:
    """Time of the last change of a file or folder itself; infinity if it no longer exists."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _last_changed_at(path: Path) -> float:
    """Time of the last change of a folder or anything in it: a folder does not change when a file in it grows."""
    return max((_changed_at(part) for part in (path, *path.rglob("*")) if part.exists()), default=float("inf"))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
