"""Results: the folder of one result, shared by all jobs with the same result key, and the answer read from it.

The worker writes into a folder of its own and renames it when complete: what lies at results/<key> is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ANSWER = "answer.json"
#: Files that a client may fetch, and their media types.
FILES = {
    "detections.geojson": "application/geo+json",
    "detections.csv": "text/csv; charset=utf-8",
    "map.ome.tiff": "image/tiff",
    "map.png": "image/png",
    "overview.png": "image/png",
    "run.json": "application/json",
}


class NotFinishedError(Exception):
    """The job has no result, or none yet."""


class ResultGoneError(Exception):
    """The result was removed after its time."""


class FileNotInResultError(LookupError):
    """A result has no file of this name."""


@dataclass(frozen=True)
class Answer:
    """What a scan found, as the API says it."""

    model: dict[str, Any]
    #: width, height, mpp, mpp_source.
    image: dict[str, Any]
    count: int
    #: The threshold of the scan; `candidates` go further down.
    threshold: float
    candidate_floor: float
    #: x, y, x_um, y_um, score, label, border; by falling score.
    candidates: list[dict[str, Any]]
    hotspots: list[dict[str, Any]]
    area_mm2: dict[str, Any]
    warnings: list[str]

    def detections(self, threshold: float | None = None) -> list[dict[str, Any]]:
        """The candidates with at least this score."""
        limit = self.threshold if threshold is None else threshold
        return [candidate for candidate in self.candidates if candidate["score"] >= limit]


class Results:
    """The folders of all results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, key: str) -> bool:
        """True if the result is there, whole."""
        return (self._folder / key / ANSWER).is_file()

    def work_path(self, job_id: str) -> Path:
        """Where the files of a running job grow."""
        return self._folder / "work" / job_id

    def work_folder(self, job_id: str) -> Path:
        """The folder for the files of a running job: what an earlier attempt has left there is gone on from."""
        folder = self.work_path(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, work: Path, key: str, answer: Answer) -> None:
        """Make a running job's files the result of `key`. Who comes second has the same files, and drops them."""
        (work / ANSWER).write_text(json.dumps(vars(answer)), encoding="utf-8")
        try:
            os.rename(work, self._folder / key)
        except OSError:
            if not self.has(key):
                raise
            shutil.rmtree(work, ignore_errors=True)

    def discard_work(self, job_id: str) -> None:
        """Remove what the attempts of a job that is final have left."""
        for work in (self._folder / "work").glob(f"{job_id}*"):
            shutil.rmtree(work, ignore_errors=True)

    def answer(self, key: str) -> Answer:
        """What the scan of that key found."""
        path = self._folder / key / ANSWER
        try:
            return _load_answer(path, path.stat().st_mtime_ns)
        except FileNotFoundError as error:
            raise ResultGoneError("the result has been removed; ask for the scan again") from error

    def file(self, key: str, name: str) -> Path:
        """Path of one of FILES."""
        if name not in FILES:
            raise FileNotInResultError(f"a result has {', '.join(FILES)}")
        path = self._folder / key / name
        if not path.is_file():
            raise ResultGoneError("the result has been removed; ask for the scan again")
        return path

    def remove(self, key: str) -> None:
        """Remove a result."""
        shutil.rmtree(self._folder / key, ignore_errors=True)


@lru_cache(maxsize=64)
def _load_answer(path: Path, _changed_ns: int) -> Answer:
    return Answer(**json.loads(path.read_text(encoding="utf-8")))
