"""Hotspots: where a window of a stated area holds the most detections; and the mitotic count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.detections.detection import Detection, above_threshold, counted
from scanner.geometry.circles import Centre, best_circle, within_circle
from scanner.geometry.frames import Box, Frame
from scanner.geometry.windows import Shape, Window
from scanner.survey.tissue import TissueMask

Places = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MitoticCount:
    """Detections per area; those on the slide's true border are not counted."""

    count: int
    #: Area of the tissue they were counted in: without the strip along the slide's true border.
    area_mm2: float
    #: 0 where there is no tissue.
    per_mm2: float


@dataclass(frozen=True)
class ThresholdCount:
    """The mitotic count of a slide, had the threshold been another."""

    threshold: float
    count: int
    #: Detections per area of tissue; 0 where there is none.
    per_mm2: float


@dataclass(frozen=True)
class Hotspot:
    """A window on the slide, and what was counted in it."""

    #: In level-0 px; holds the detections with top <= row < bottom and left <= col < right. A circle fills it, to the
    #: pixel, and may reach beyond the slide.
    box: Box
    #: Area of the window; of a circle, the part of it that lies on the slide.
    area_mm2: float
    #: Area of the tissue in it.
    tissue_mm2: float
    count: int
    #: Detections per area of the window.
    per_mm2: float
    #: Detections per area of the tissue in the window; 0 where there is none.
    per_tissue_mm2: float
    shape: Shape = Shape.BOX


def mitotic_count(detections: Iterable[Detection], tissue: TissueMask, *, margin_um: float) -> MitoticCount:
    """The mitotic count of a whole slide; neither detections nor tissue within `margin_um` of its border count."""
    count, area_mm2 = len(counted(detections)), tissue.counted_mm2(margin_um)
    return MitoticCount(count, area_mm2, _density(count, area_mm2))


def counts_by_threshold(
    candidates: Sequence[Detection], tissue: TissueMask, thresholds: Iterable[float], *, margin_um: float
) -> tuple[ThresholdCount, ...]:
    """The mitotic count of a whole slide at each of these thresholds, in rising order; `margin_um` as there."""
    area_mm2, counts = tissue.counted_mm2(margin_um), []
    for threshold in sorted(set(thresholds)):
        count = len(counted(above_threshold(candidates, threshold)))
        counts.append(ThresholdCount(threshold, count, _density(count, area_mm2)))
    return tuple(counts)


def find_hotspots(
    detections: Iterable[Detection], tissue: TissueMask, *, window: Window | None = None, top: int = 1
) -> tuple[Hotspot, ...]:
    """The windows with the most detections, most first; no two overlap.

    Parameters
    ----------
    detections : iterable of Detection
        Those on the slide's true border are not counted.
    tissue : TissueMask
        Its frame places the window, its area is the denominator of the density.
    window : Window, optional
        Area and shape; 2 mm2, square, if left out. A slide that is smaller, is the window.
    top : int
        Windows sought.

    Returns
    -------
    tuple of Hotspot
        No more windows than there are detections to put in. The best of all positions, not of some grid of them; of
        equally good ones the topmost, then the leftmost, moved so that its detections lie in its middle.
    """
    window = window or Window()
    found = counted(detections)
    places = np.array([(detection.row, detection.col) for detection in found], np.float64).reshape(-1, 2)
    if window.shape is Shape.CIRCLE:
        return _find_circles(places, tissue, window, top)
    return _find_boxes(places, tissue, window, top)


def describe_hotspot(hotspot: Hotspot) -> dict[str, Any]:
    """A window, half-open, in level-0 px."""
    box = hotspot.box
    place = {"x": box.left, "y": box.top, "width": box.width, "height": box.height}
    return place | {key: value for key, value in asdict(hotspot).items() if key != "box"}


def _find_boxes(places: Places, tissue: TissueMask, window: Window, top: int) -> tuple[Hotspot, ...]:
    frame, size = tissue.frame, window.size_px(tissue.frame)
    hotspots: list[Hotspot] = []
    while len(places) and len(hotspots) < top:
        taken = [hotspot.box for hotspot in hotspots]
        best = _best_box(places, frame, size, taken)
        if best is None:
            break
        centred = _centred_box(places[_within(places, best)], frame, size)
        box = best if any(_overlap(centred, other) for other in taken) else centred
        is_inside = _within(places, box)
        area_mm2 = box.area * (frame.level0_mpp / 1000) ** 2
        hotspots.append(_measure(box, int(is_inside.sum()), area_mm2, tissue.area_within(box)))
        places = places[~is_inside]
    return tuple(hotspots)


def _best_box(places: Places, frame: Frame, size: tuple[int, int], taken: list[Box]) -> Box | None:
    """The topmost, then leftmost box with the most places that overlaps none that is taken; None if none holds any.

    Seen from a place, the boxes that hold it are those whose top left lies in a rectangle of window size. Sweeping the
    top downwards, each place adds 1 to the lefts that hold it, and takes it away again below.
    """
    tops = _positions(places[:, 0], size[0], frame.level0_height)
    lefts = _positions(places[:, 1], size[1], frame.level0_width)
    # A best position that is topmost and leftmost lies where some place comes in, or where a taken box ends.
    last = frame.level0_height - size[0], frame.level0_width - size[1]
    columns = np.unique(np.append(lefts[:, 0], [box.right for box in taken if box.right <= last[1]]))
    rows = np.unique(np.append(tops[:, 0], [box.bottom for box in taken if box.bottom <= last[0]]))
    firsts, lasts = np.searchsorted(columns, lefts[:, 0]), np.searchsorted(columns, lefts[:, 1], side="right")
    counts = np.zeros(len(columns), np.int64)
    best, corner = 0, (0, 0)
    enters, leaves = np.argsort(tops[:, 0], kind="stable"), np.argsort(tops[:, 1], kind="stable")
    come, gone = 0, 0
    for row in rows:
        while come < len(enters) and tops[enters[come], 0] <= row:
            counts[firsts[enters[come]] : lasts[enters[come]]] += 1
            come += 1
        while gone < len(leaves) and tops[leaves[gone], 1] < row:
            counts[firsts[leaves[gone]] : lasts[leaves[gone]]] -= 1
            gone += 1
        free = np.where(_blocked(columns, int(row), size, taken), 0, counts) if taken else counts
        if free.max() > best:
            column = int(free.argmax())
            best, corner = int(free[column]), (int(row), int(columns[column]))
    return Box(*corner, corner[0] + size[0], corner[1] + size[1]) if best else None


def _blocked(
    columns: npt.NDArray[np.int64], row: int, size: tuple[int, int], taken: list[Box]
) -> npt.NDArray[np.bool_]:
    """Lefts at which a box with that top would overlap one that is taken."""
    blocked = np.zeros(len(columns), np.bool_)
    for box in taken:
        if box.top - size[0] < row < box.bottom:
            blocked |= (box.left - size[1] < columns) & (columns < box.right)
    return blocked


def _overlap(one: Box, other: Box) -> bool:
    return one.top < other.bottom and other.top < one.bottom and one.left < other.right and other.left < one.right


def _positions(places: Places, side: int, length: int) -> npt.NDArray[np.int64]:
    """First and last start of the windows of `side` on the slide that hold each place; (n, 2)."""
    firsts, lasts = np.floor(places - side) + 1, np.floor(places)
    positions: npt.NDArray[np.int64] = np.stack([firsts, lasts], axis=1).astype(np.int64)
    return positions.clip(0, length - side)


def _centred_box(places: Places, frame: Frame, size: tuple[int, int]) -> Box:
    """Of the windows that hold all these places, the middle one."""
    tops = _positions(places[:, 0], size[0], frame.level0_height)
    lefts = _positions(places[:, 1], size[1], frame.level0_width)
    top, left = (int(starts[:, 0].max() + starts[:, 1].min()) // 2 for starts in (tops, lefts))
    return Box(top, left, top + size[0], left + size[1])


def _within(places: Places, box: Box) -> npt.NDArray[np.bool_]:
    is_in_rows = (box.top <= places[:, 0]) & (places[:, 0] < box.bottom)
    is_inside: npt.NDArray[np.bool_] = is_in_rows & (box.left <= places[:, 1]) & (places[:, 1] < box.right)
    return is_inside


def _find_circles(places: Places, tissue: TissueMask, window: Window, top: int) -> tuple[Hotspot, ...]:
    frame = tissue.frame
    radius_px = window.radius_um / frame.level0_mpp
    hotspots: list[Hotspot] = []
    taken: list[Centre] = []
    places = places[np.lexsort((places[:, 1], places[:, 0]))]
    while len(places) and len(hotspots) < top:
        best = best_circle(places, radius_px, taken)
        if best is None:
            break
        is_inside = within_circle(places, best, radius_px)
        centre = _settled(best, places[is_inside], frame, radius_px)
        if any(math.dist(centre, other) < 2 * radius_px for other in taken):
            centre = best
        area_mm2, tissue_mm2 = tissue.areas_in_circle((centre[0] + 0.5, centre[1] + 0.5), radius_px)
        box = Box(*(round(place + 0.5 + sign * radius_px) for sign in (-1, 1) for place in centre))
        hotspots.append(_measure(box, int(is_inside.sum()), area_mm2, tissue_mm2, Shape.CIRCLE))
        taken.append(centre)
        places = places[~is_inside]
    return tuple(hotspots)


def _settled(best: Centre, places: Places, frame: Frame, radius_px: float) -> Centre:
    """A centre from which the circle holds the same places, with them in its middle and all of it on the slide.

    As far as both can be had: of the two, lying on the slide comes first.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    middle = (float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2)
    for centre in (_on_slide(middle, frame, radius_px), _on_slide(best, frame, radius_px), middle):
        if within_circle(places, centre, radius_px).all():
            return centre
    return best


def _on_slide(centre: Centre, frame: Frame, radius_px: float) -> Centre:
    """The nearest centre of a circle that lies on the slide; the slide's middle where it is too narrow for one."""
    row, col = (
        min(max(place, radius_px - 0.5), length - 0.5 - radius_px) if length > 2 * radius_px else (length - 1) / 2
        for place, length in zip(centre, (frame.level0_height, frame.level0_width), strict=True)
    )
    return row, col


def _measure(box: Box, count: int, area_mm2: float, tissue_mm2: float, shape: Shape = Shape.BOX) -> Hotspot:
    densities = _density(count, area_mm2), _density(count, tissue_mm2)
    return Hotspot(box, area_mm2, tissue_mm2, count, *densities, shape)


def _density(count: int, area_mm2: float) -> float:
    return count / area_mm2 if area_mm2 > 0 else 0.0
