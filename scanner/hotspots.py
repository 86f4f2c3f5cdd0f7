"""Hotspots: where a window of a stated area holds the most detections; and the mitotic count."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.detections import Detection, counted
from scanner.geometry import Box, Frame
from scanner.tissue import TissueMask

#: Area in which mitoses are counted, as pathologists do today instead of in ten high-power fields (Cree et al. 2021).
HOTSPOT_MM2 = 2.0


@dataclass(frozen=True)
class MitoticCount:
    """Detections per area; those on the slide's true border are not counted."""

    count: int
    #: Area of the tissue they were counted in.
    area_mm2: float
    #: 0 where there is no tissue.
    per_mm2: float


@dataclass(frozen=True)
class Hotspot:
    """A window on the slide, and what was counted in it."""

    #: In level-0 px; holds the detections with top <= row < bottom and left <= col < right.
    box: Box
    #: Area of the window.
    area_mm2: float
    #: Area of the tissue in it.
    tissue_mm2: float
    count: int
    #: Detections per area of the window.
    per_mm2: float
    #: Detections per area of the tissue in the window; 0 where there is none.
    per_tissue_mm2: float


def mitotic_count(detections: Iterable[Detection], tissue: TissueMask) -> MitoticCount:
    """The mitotic count of a whole slide."""
    count, area_mm2 = len(counted(detections)), tissue.area_mm2
    return MitoticCount(count, area_mm2, _density(count, area_mm2))


def find_hotspots(
    detections: Iterable[Detection],
    tissue: TissueMask,
    *,
    area_mm2: float = HOTSPOT_MM2,
    aspect: float = 1.0,
    top: int = 1,
) -> tuple[Hotspot, ...]:
    """The windows with the most detections, most first.

    Parameters
    ----------
    detections : iterable of Detection
        Those on the slide's true border are not counted.
    tissue : TissueMask
        Its frame places the window, its area is the denominator of the density.
    area_mm2 : float
        Area of a window; a slide that is smaller, is the window.
    aspect : float
        Width of the window per height, where the slide leaves room for it: 4 / 3 for the field of a camera.
    top : int
        Windows sought. A detection belongs to one window only.

    Returns
    -------
    tuple of Hotspot
        No more windows than there are detections to put in. The best of all positions, not of some grid of them; of
        equally good ones the topmost, then the leftmost, moved so that its detections lie in its middle.
    """
    frame = tissue.frame
    height, width = window_px(frame, area_mm2, aspect)
    places = np.array([(detection.row, detection.col) for detection in counted(detections)]).reshape(-1, 2)
    hotspots: list[Hotspot] = []
    while len(places) and len(hotspots) < top:
        inside = _within(places, _best_window(places, frame, height, width))
        box = _centred_window(places[inside], frame, height, width)
        hotspots.append(_measure(box, int(inside.sum()), tissue))
        places = places[~inside]
    return tuple(hotspots)


def window_px(frame: Frame, area_mm2: float, aspect: float = 1.0) -> tuple[int, int]:
    """Height and width, in level-0 px, of a window of that area and shape, or of as much of it as the slide holds."""
    area_px = area_mm2 * (1000 / frame.level0_mpp) ** 2
    height = min(math.sqrt(area_px / aspect), frame.level0_height)
    width = min(area_px / height, frame.level0_width)
    height = min(area_px / width, frame.level0_height)  # A narrow slide gets a longer window.
    return max(1, round(height)), max(1, round(width))


def _best_window(places: npt.NDArray[np.float64], frame: Frame, height: int, width: int) -> Box:
    """The topmost, then leftmost window with the most places.

    Seen from a place, the windows that hold it are those whose top left lies in a rectangle of window size. Sweeping
    the top downwards, each place adds 1 to the lefts that hold it, and takes it away again below.
    """
    tops = _positions(places[:, 0], height, frame.level0_height)
    lefts = _positions(places[:, 1], width, frame.level0_width)
    columns = np.unique(lefts[:, 0])  # The leftmost best position is the first that holds some place.
    firsts, lasts = np.searchsorted(columns, lefts[:, 0]), np.searchsorted(columns, lefts[:, 1], side="right")
    counts = np.zeros(len(columns), np.int64)
    best, best_top, best_column = 0, 0, 0
    enters, leaves = np.argsort(tops[:, 0], kind="stable"), np.argsort(tops[:, 1], kind="stable")
    gone = 0
    for step, entering in enumerate(enters):
        window_top = tops[entering, 0]
        while tops[leaves[gone], 1] < window_top:
            counts[firsts[leaves[gone]] : lasts[leaves[gone]]] -= 1
            gone += 1
        counts[firsts[entering] : lasts[entering]] += 1
        is_last = step + 1 == len(enters) or tops[enters[step + 1], 0] > window_top
        if is_last and counts.max() > best:
            best_column = int(counts.argmax())
            best, best_top = int(counts[best_column]), int(window_top)
    left = int(columns[best_column])
    return Box(best_top, left, best_top + height, left + width)


def _positions(places: npt.NDArray[np.float64], side: int, length: int) -> npt.NDArray[np.int64]:
    """First and last start of the windows of `side` on the slide that hold each place; (n, 2)."""
    firsts, lasts = np.floor(places - side) + 1, np.floor(places)
    positions: npt.NDArray[np.int64] = np.stack([firsts, lasts], axis=1).astype(np.int64)
    return positions.clip(0, length - side)


def _centred_window(places: npt.NDArray[np.float64], frame: Frame, height: int, width: int) -> Box:
    """Of the windows that hold all these places, the middle one."""
    tops = _positions(places[:, 0], height, frame.level0_height)
    lefts = _positions(places[:, 1], width, frame.level0_width)
    top, left = (int(starts[:, 0].max() + starts[:, 1].min()) // 2 for starts in (tops, lefts))
    return Box(top, left, top + height, left + width)


def _within(places: npt.NDArray[np.float64], box: Box) -> npt.NDArray[np.bool_]:
    is_in_rows = (box.top <= places[:, 0]) & (places[:, 0] < box.bottom)
    is_inside: npt.NDArray[np.bool_] = is_in_rows & (box.left <= places[:, 1]) & (places[:, 1] < box.right)
    return is_inside


def _measure(box: Box, count: int, tissue: TissueMask) -> Hotspot:
    area_mm2 = box.area * (tissue.frame.level0_mpp / 1000) ** 2
    tissue_mm2 = tissue.area_within(box)
    return Hotspot(box, area_mm2, tissue_mm2, count, _density(count, area_mm2), _density(count, tissue_mm2))


def _density(count: int, area_mm2: float) -> float:
    return count / area_mm2 if area_mm2 > 0 else 0.0
