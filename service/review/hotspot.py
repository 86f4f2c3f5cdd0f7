"""Where the figures that count after a review are densest."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from scanner.detections.detection import Detection
from scanner.detections.hotspots import Hotspot, find_hotspots
from scanner.files.run_report import read_report
from scanner.geometry.frames import Frame
from scanner.geometry.windows import window_from_text
from scanner.survey.masks import read_tissue
from scanner.survey.tissue import TissueMask
from service.jobs.lifecycle import Job
from service.results.results import Answer, Results
from service.review.reviewed import ReviewedFigure


def hotspot_of(results: Results, job: Job, answer: Answer, figures: Iterable[ReviewedFigure]) -> Hotspot | None:
    """The window, of the size and shape that the scan used, with the most figures; None without figures.

    Raises
    ------
    ResultGoneError
        The result's files have been removed.
    """
    key, mpp, (top, left) = job.request.result_key, answer.image["mpp"], answer.origin
    window = window_from_text(read_report(results.file(key, "run.json"))["settings"]["hotspot"])
    frame = Frame(answer.image["height"], answer.image["width"], level0_mpp=mpp, grid_mpp=mpp, stride=1)
    tissue = _read_tissue(results.file(key, "tissue.geojson"), frame, (top, left))
    found = (Detection(one.y, one.x, one.y * mpp, one.x * mpp, one.score or 1.0, one.label, False) for one in figures)
    return next(iter(find_hotspots(found, tissue, window=window)), None)


@lru_cache(maxsize=16)
def _read_tissue(path: Path, frame: Frame, origin: tuple[int, int]) -> TissueMask:
    return read_tissue(path, frame, origin=origin)
