"""Where the figures that count after a review are densest."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from scanner.detections.detection import Detection
from scanner.detections.hotspots import Hotspot, find_hotspots
from scanner.files.run_report import read_report
from scanner.geometry.frames import Frame
from scanner.geometry.windows import Window, window_from_text
from scanner.survey.masks import read_tissue
from scanner.survey.tissue import TissueMask
from service.results.results import Answer
from service.review.reviewed import ReviewedFigure


def reviewed_hotspot(
    figures: Iterable[ReviewedFigure], answer: Answer, *, tissue: Path, window: Window
) -> Hotspot | None:
    """The window of the scan's size and shape with the most figures; None without figures.

    Parameters
    ----------
    figures : iterable of ReviewedFigure
    answer : Answer
    tissue : Path
        `tissue.geojson` of the result.
    window : Window
    """
    mpp, top_left = answer.image["mpp"], answer.origin
    frame = Frame(answer.image["height"], answer.image["width"], level0_mpp=mpp, grid_mpp=mpp, stride=1)
    found = (Detection(one.y, one.x, one.y * mpp, one.x * mpp, one.score or 1.0, one.label, False) for one in figures)
    mask = _read_tissue(tissue, frame, (top_left[0], top_left[1]))
    return next(iter(find_hotspots(found, mask, window=window)), None)


def window_of(run_report: Path) -> Window:
    """The window that a scan counted its hotspots in."""
    return window_from_text(read_report(run_report)["settings"]["hotspot"])


@lru_cache(maxsize=16)
def _read_tissue(path: Path, frame: Frame, origin: tuple[int, int]) -> TissueMask:
    return read_tissue(path, frame, origin=origin)
