"""Results: one folder per result, shared by all jobs with the same result key, and the answer stored in it.

The worker writes into a work folder and renames it when complete: a folder results/<key> is always complete.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scanner.detections.detection import id_of_place
from service.problems import ReportedError
from service.slides_in.region import REGION_FILE

ANSWER = "answer.json"
#: Outlines of tissue, hotspots and unreadable areas, in level-0 pixels, for the viewer.
REGIONS = "regions.json"
_CSV, _GEOJSON, _DICOM = "text/csv; charset=utf-8", "application/geo+json", "application/dicom"
#: Files of every result that a client may fetch, and their media types.
FILES = {
    "detections.geojson": _GEOJSON,
    "detections.csv": _CSV,
    "candidates.csv": _CSV,
    "regions.geojson": _GEOJSON,
    "tissue.geojson": _GEOJSON,
    "map.ome.tiff": "image/tiff",
    "map.png": "image/png",
    "overview.png": "image/png",
    "report.html": "text/html; charset=utf-8",
    "run.json": "application/json",
}
#: Most hotspots of a scan; equal to scanner.settings.ScanSettings.hotspots.
MAX_HOTSPOTS = 3
#: One picture for each hotspot.
HOTSPOT_FILES = {f"hotspot-{rank}.png": "image/png" for rank in range(1, MAX_HOTSPOTS + 1)}
#: Files of exports that a client may request: name of the export -> its files.
EXPORT_FILES = {
    "dicom": {"annotations.dcm": _DICOM, "map.dcm": _DICOM},
    "grand-challenge": {"mitotic-figures.json": "application/json"},
}
MEDIA_TYPES = (
    FILES
    | HOTSPOT_FILES
    | {REGION_FILE: _GEOJSON}
    | {name: kind for files in EXPORT_FILES.values() for name, kind in files.items()}
)
#: The export that is a folder of many files.
ZARR = "map.ome.zarr"


GONE = "the result has been removed: submit the slide again"


class NotFinishedError(ReportedError):
    """The job has no result, or not yet."""

    problem_type = "job-not-finished"


class ResultGoneError(ReportedError):
    """The result has expired and was removed."""

    problem_type = "result-gone"


class FileNotInResultError(ReportedError, LookupError):
    """A result has no file of this name."""

    problem_type = "file-not-found"


@dataclass(frozen=True)
class Figures:
    """What a result counts, and in how much tissue."""

    count: int
    counted_mm2: float


@dataclass(frozen=True)
class Answer:
    """The result of a scan, as the API returns it."""

    model: dict[str, Any]
    #: width, height, mpp, mpp_source.
    image: dict[str, Any]
    count: int
    #: The threshold of the scan; `candidates` have lower scores too.
    threshold: float
    candidate_floor: float
    #: id, x, y, x_um, y_um, score, label, border; by falling score.
    candidates: list[dict[str, Any]]
    hotspots: list[dict[str, Any]]
    area_mm2: dict[str, Any]
    warnings: list[str]
    #: Level-0 (row, col) of QuPath's top left.
    origin: tuple[int, int] = (0, 0)

    @property
    def figures(self) -> Figures:
        """What the scan counts, at its own threshold."""
        area = self.area_mm2
        return Figures(
            self.count, area["counted"] if "counted" in area else area["tissue"]
        )  # Older ones lack `counted`.

    def detections(self, threshold: float | None = None) -> list[dict[str, Any]]:
        """The candidates with at least this score."""
        limit = self.threshold if threshold is None else threshold
        return [candidate for candidate in self.candidates if candidate["score"] >= limit]


class Results:
    """The folders of all results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, key: str) -> bool:
        """True if the result exists."""
        return (self._folder / key / ANSWER).is_file()

    def figures(self, key: str) -> Figures | None:
        """What a result counts; None if there is no such result."""
        try:
            return self.answer(key).figures
        except ResultGoneError:
            return None

    def work_path(self, job_id: str) -> Path:
        """Path of a running job's work folder."""
        return self._folder / "work" / job_id

    def work_folder(self, job_id: str) -> Path:
        """The work folder of a running job; an earlier attempt may have left files to resume from."""
        folder = self.work_path(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, work: Path, key: str, answer: Answer) -> None:
        """Make a work folder the result of `key`; if that exists already, with the same files, remove the folder."""
        (work / ANSWER).write_text(json.dumps(vars(answer)), encoding="utf-8")
        try:
            os.rename(work, self._folder / key)
        except OSError:
            if not self.has(key):
                raise
            shutil.rmtree(work, ignore_errors=True)

    def discard_work(self, job_id: str) -> None:
        """Remove the work folders of a job that has ended."""
        for work in (self._folder / "work").glob(f"{job_id}*"):
            shutil.rmtree(work, ignore_errors=True)

    def answer(self, key: str) -> Answer:
        """The answer of a result."""
        path = self._folder / key / ANSWER
        try:
            return _load_answer(path, path.stat().st_mtime_ns)
        except FileNotFoundError as error:
            raise ResultGoneError(GONE) from error

    def file(self, key: str, name: str) -> Path:
        """Path of one of MEDIA_TYPES, or of a file within ZARR."""
        root = self._folder / key
        if not root.is_dir():
            raise ResultGoneError(GONE)
        path = root / name
        is_listed = name in MEDIA_TYPES or path.resolve().is_relative_to((root / ZARR).resolve())
        if not is_listed or not path.is_file():
            raise FileNotInResultError(f"this result has no file {name!r}, but {', '.join(self.names(key))}")
        return path

    def names(self, key: str) -> list[str]:
        """Names of the files that a result has, of those in MEDIA_TYPES."""
        return [name for name in MEDIA_TYPES if (self._folder / key / name).is_file()]

    def has_zarr(self, key: str) -> bool:
        """True if the result has ZARR."""
        return (self._folder / key / ZARR).is_dir()

    def regions(self, key: str) -> Path:
        """Path of REGIONS."""
        path = self._folder / key / REGIONS
        if not path.is_file():
            raise ResultGoneError(GONE)
        return path

    def remove(self, key: str) -> None:
        """Remove a result."""
        shutil.rmtree(self._folder / key, ignore_errors=True)


#: Answers that are kept in memory; one of 10,000 candidates takes 5.5 MB.
_KEPT = 16


@lru_cache(maxsize=_KEPT)
def _load_answer(path: Path, _changed_ns: int) -> Answer:
    answer = Answer(**json.loads(path.read_text(encoding="utf-8")))
    for one in answer.candidates:  # Results of older versions say none.
        one.setdefault("id", id_of_place(one["y"], one["x"], one["label"]))
    return answer
