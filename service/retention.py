"""Retention: what is old, or more than the quota, goes; never what an open job needs.

Any worker may do this at any time: everything here is read from the store first and removed twice without harm.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from service.jobs import Job
from service.results import Results
from service.resumable import DAYS_TO_KEEP
from service.settings import Settings
from service.store import Store

DAY = 86_400.0  # seconds
#: An upload that nobody has asked a scan of, or a broken one, is given this long.
GRACE = 3600.0  # seconds


def clean(store: Store, settings: Settings, now: float) -> None:
    """Remove finished jobs past their time or beyond the quota, then files that no job needs."""
    kept, gone = split_by_age(store.list_jobs(limit=1_000_000), before=now - settings.keep_days * DAY)
    if settings.quota_bytes:
        kept, more = split_by_size(kept, settings)
        gone += more
    for job in gone:
        store.delete(job.id)
    _remove_unneeded(kept, settings, older_than=now - GRACE)


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


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove_unneeded(jobs: list[Job], settings: Settings, *, older_than: float) -> None:
    results = Results(settings.results)
    keys = {job.request.result_key for job in jobs}
    uploads = {folder for job in jobs for folder in _upload_of(job, settings)}
    for folder in settings.results.iterdir():
        if folder.name not in keys and folder.name != "work" and _is_older(folder, older_than):
            results.remove(folder.name)
    for folder in settings.uploads.iterdir():
        if folder not in uploads and folder.name not in {"incoming", "tus"} and _is_older(folder, older_than):
            shutil.rmtree(folder, ignore_errors=True)
    for part in (settings.uploads / "incoming").glob("*"):
        if _is_older(part, older_than):
            shutil.rmtree(part, ignore_errors=True)
    for part in (settings.uploads / "tus").glob("*"):
        if _is_older(part, older_than - DAYS_TO_KEEP * DAY):
            part.unlink(missing_ok=True)


def _upload_of(job: Job, settings: Settings) -> list[Path]:
    """The upload folder that a job reads from; none if it reads from the server's own folders, or has no slide yet."""
    path = Path(job.request.slide)
    return [] if path.is_absolute() or not job.request.slide else [(settings.data.resolve() / path).parent]


def _is_older(path: Path, than: float) -> bool:
    try:
        return path.stat().st_mtime < than
    except FileNotFoundError:
        return False
