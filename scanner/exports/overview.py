"""overview.png: the slide at a glance, with map, tissue, detections, hotspots and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from scanner.exports.legend import PARTS, above_legend, titled
from scanner.exports.map_picture import Colours, colours_from_levels, pool_map
from scanner.exports.marks import (
    BORDER_COLOUR,
    DETECTION_COLOUR,
    HOTSPOT_COLOUR,
    INK_COLOUR,
    TISSUE_COLOUR,
    UNREADABLE_COLOUR,
    Marks,
    hatching,
    outline,
)
from scanner.exports.segmentation_picture import colour_of, describe_class, palette
from scanner.geometry.frames import Box, Frame
from scanner.geometry.windows import Shape
from scanner.maps.segmentation import Segmentation, sample_labels
from scanner.result import ScanResult
from scanner.slides.pixels.protocol import Slide
from scanner.slides.pixels.thumbnail import choose_level, read_thumbnail
from scanner.survey.tissue import Mask

#: Colours of the slide, and micrometres per pixel.
Backdrop = tuple[Colours, float]

#: Longest side of the slide in the picture; smaller fields are enlarged by a whole factor, to half of it or more.
SLIDE_PX = 1600
#: Level px that are read beside the network at most: a second's work, which a scan that is cancelled waits for.
MOST_PX_BESIDE = 2**26
#: Radius of the ring around a detection: of a figure, but large enough to be seen.
RING_UM, MIN_RING_PX = 12.0, 9.0
HOTSPOT_TEXT_PX = 16.0
#: Of the colour of a class over the slide.
CLASS_OPACITY = 0.55


def draw_overview(result: ScanResult, slide: Slide, backdrop: Future[Backdrop] | None = None) -> Image.Image:
    """The overview: the slide, perhaps read already, with its marks above a legend; the result holds its report."""
    colours, px_um = read_backdrop(slide, result.frame) if backdrop is None else backdrop.result()
    if result.segmentation is not None:
        return _draw_classes(colours, px_um, result, result.segmentation, name=result.report["slide"]["name"])
    marked = _draw_marks(Image.fromarray(_paint(colours, px_um, result)), px_um, result)
    parts = PARTS if result.tissue.is_ink is not None else [part for part in PARTS if part != "ink"]
    title = titled(result.report["slide"]["name"], _counts(result.report))
    return above_legend(marked, title=title, px_um=px_um, parts=parts)


def read_backdrop(slide: Slide, frame: Frame) -> Backdrop:
    """The slide at the overview's size, and its micrometres per pixel."""
    longest_px, cell_um = max(frame.level0_height, frame.level0_width), _cell_um(frame)
    colours = read_thumbnail(slide, frame, cell_um=cell_um).colours
    factor = max(1, SLIDE_PX // longest_px)
    return colours.repeat(factor, axis=0).repeat(factor, axis=1), cell_um / factor


@contextmanager
def backdrop_beside(slide: Slide, frame: Frame, *, is_wanted: bool = True) -> Iterator[Future[Backdrop] | None]:
    """What reads the backdrop in a thread meanwhile; None if it is not wanted, or takes longer than it may."""
    with ThreadPoolExecutor(1, thread_name_prefix="overview") as thread:
        is_read = is_wanted and fits_beside_scan(slide, frame)
        yield thread.submit(read_backdrop, slide, frame) if is_read else None


def fits_beside_scan(slide: Slide, frame: Frame) -> bool:
    """True if `read_backdrop` takes no longer than it may beside a scan."""
    level = slide.levels[choose_level(slide, frame, _cell_um(frame))]
    return level.height * level.width <= MOST_PX_BESIDE


def _cell_um(frame: Frame) -> float:
    """Side of the square of the slide that is a pixel of the overview, before it is enlarged."""
    return frame.level0_mpp * max(1.0, max(frame.level0_height, frame.level0_width) / SLIDE_PX)


def _draw_classes(
    colours: Colours, px_um: float, result: ScanResult, segmentation: Segmentation, *, name: str
) -> Image.Image:
    """The slide with the classes that have a map in their colours, above a legend with the area of each."""
    labels = sample_labels(segmentation, (colours.shape[0], colours.shape[1]), px_um=px_um)
    areas, mapped = segmentation.areas, result.mapped
    shown = np.isin(labels, [area.label for area in areas if area.name in mapped])
    mixed = (colours[shown] * (1 - CLASS_OPACITY) + palette(areas, mapped)[labels[shown]] * CLASS_OPACITY).round()
    painted = colours.copy()
    painted[shown] = mixed.astype(np.uint8)
    boxes = [Box(*(round(edge * result.frame.map_mpp / px_um) for edge in box)) for box in result.unreadable]
    painted[hatching(labels.shape, [box.clipped(*labels.shape) for box in boxes])] = UNREADABLE_COLOUR
    classes = [(describe_class(area), colour_of(area.name, mapped)) for area in areas]
    return above_legend(
        Image.fromarray(painted), title=name, px_um=px_um, parts={"unreadable"} if boxes else (), classes=classes
    )


def _paint(colours: Colours, px_um: float, result: ScanResult) -> Colours:
    """The slide with the map, the outline of its tissue and the hatching of what could not be read."""
    shape = colours.shape[:2]
    painted = _over(colours, colours_from_levels(pool_map(result.map.read_highest, result.frame, shape, px_um=px_um)))
    painted[outline(_shown(result.tissue.is_tissue, shape, px_um / result.tissue.mask_mpp))] = TISSUE_COLOUR
    px_per_map_px = result.frame.map_mpp / px_um
    boxes = [Box(*(round(edge * px_per_map_px) for edge in box)).clipped(*shape) for box in result.unreadable]
    painted[hatching(shape, boxes)] = UNREADABLE_COLOUR
    if (is_ink := result.tissue.is_ink) is not None:
        marked = _shown(is_ink, shape, px_um / result.tissue.mask_mpp)
        painted[outline(marked) | (marked & hatching(shape, [(0, 0, *shape)])[:, ::-1])] = INK_COLOUR
    return painted


def _over(colours: Colours, layer: Colours) -> Colours:
    """The colours (H, W, 3) below a layer (H, W, 4) with its opacity; where that is 0 they stay as they are."""
    shown = np.flatnonzero(layer[..., 3])  # Most of a map is empty.
    over = layer.reshape(-1, 4)[shown]
    opacity = over[:, 3:].astype(np.uint16)  # Products of two bytes fit.
    painted = colours.copy()
    below = painted.reshape(-1, 3)
    below[shown] = (below[shown] * (255 - opacity) + over[:, :3] * opacity + 127) // 255
    return painted


def _draw_marks(picture: Image.Image, px_um: float, result: ScanResult) -> Image.Image:
    marks = Marks(picture.height, picture.width)
    px_per_level0_px = result.frame.level0_mpp / px_um
    radius = max(MIN_RING_PX, RING_UM / px_um)
    for detection in reversed(result.detections):  # The best on top.
        row, col = ((place + 0.5) * px_per_level0_px for place in (detection.row, detection.col))
        marks.ring(row, col, radius=radius, colour=BORDER_COLOUR if detection.border else DETECTION_COLOUR)
    for rank, hotspot in reversed(list(enumerate(result.hotspots, start=1))):
        top, left, bottom, right = (edge * px_per_level0_px for edge in hotspot.box)
        outline_of = marks.circle if hotspot.shape is Shape.CIRCLE else marks.window
        outline_of((top + 2, left + 2, bottom - 3, right - 3), colour=HOTSPOT_COLOUR)
        text = f"{rank}: {hotspot.count} in {hotspot.area_mm2:.2f} mm2"  # PIL's font has no superscript.
        marks.text(top + 8, left + 10, text, size=HOTSPOT_TEXT_PX, colour=HOTSPOT_COLOUR)
    return marks.over(picture)


def _shown(mask: Mask, shape: tuple[int, int], cells_per_px: float) -> Mask:
    """The cells of a mask as pixels of the picture."""
    rows, cols = (
        np.minimum((np.arange(count) + 0.5) * cells_per_px, cells - 1).astype(np.intp)
        for count, cells in zip(shape, mask.shape, strict=True)
    )
    shown: Mask = mask[rows[:, None], cols]
    return shown


def _counts(report: dict[str, Any]) -> str:
    area_mm2, per_mm2 = report["area_mm2"]["counted"], report["count_per_mm2"]
    said = f"{report['count']} in {area_mm2:.2f} mm2 of tissue, {per_mm2:.1f} per mm2"
    unreadable_mm2 = report["area_mm2"]["unreadable"]
    said += f"; {unreadable_mm2:.3f} mm2 unreadable" if unreadable_mm2 else ""
    ink_mm2 = report["area_mm2"].get("ink", 0.0)
    return f"{said}; {ink_mm2:.3f} mm2 ink" if ink_mm2 else said
