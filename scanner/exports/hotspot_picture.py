"""hotspot-1.png and so on: each hotspot by itself, at about a thousand pixels, with its detections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scanner.detections.hotspots import Hotspot
from scanner.exports.legend import above_legend, titled
from scanner.exports.marks import BORDER_COLOUR, DETECTION_COLOUR, HOTSPOT_COLOUR, UNREADABLE_COLOUR, Marks, hatching
from scanner.files.atomic import write_picture
from scanner.geometry.frames import Box, Frame
from scanner.geometry.windows import Shape, describe_hpf
from scanner.result import ScanResult
from scanner.slides.pixels.protocol import Slide
from scanner.slides.pixels.thumbnail import read_thumbnail

#: Longest side of the slide in the picture; smaller windows are enlarged by a whole factor, to half of it or more.
SLIDE_PX = 1000
#: Shown around the window, as a share of its longer side.
MARGIN = 0.02
#: Radius of the ring around a detection: of a figure, but large enough to be seen.
RING_UM, MIN_RING_PX = 12.0, 9.0
LEGEND = ("detection", "on the border, not counted", "hotspot")


def write_hotspot_pictures(folder: Path, result: ScanResult, slide: Slide) -> dict[str, Image.Image]:
    """Write a picture of each hotspot, hotspot-1.png the best; those of an earlier scan that had more are removed.

    Returns
    -------
    dict
        The pictures by their files' names without the suffix.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    name = result.report["slide"]["name"]
    pictures = {
        f"hotspot-{rank}": draw_hotspot(hotspot, result, slide, title=titled(name, f"hotspot {rank}"))
        for rank, hotspot in enumerate(result.hotspots, start=1)
    }
    for name, picture in pictures.items():
        write_picture(folder / f"{name}.png", picture)
    for path in sorted(folder.glob("hotspot-*.png")):
        if path.stem not in pictures:
            path.unlink()
    return pictures


def draw_hotspot(hotspot: Hotspot, result: ScanResult, slide: Slide, *, title: str) -> Image.Image:
    """The window and a little around it, with every detection in sight, above a legend."""
    view = _look(hotspot.box, result.frame, slide)
    slide_part, is_hatched = _hatched(view, result)
    marks = Marks(view.picture.height, view.picture.width)
    radius = max(MIN_RING_PX, RING_UM / view.px_um)
    for detection in reversed(result.detections):  # The best on top.
        row, col = view.px_from_level0(detection.row + 0.5, detection.col + 0.5)
        if 0 <= row < marks.height and 0 <= col < marks.width:
            marks.ring(row, col, radius=radius, colour=BORDER_COLOUR if detection.border else DETECTION_COLOUR)
    outline_of = marks.circle if hotspot.shape is Shape.CIRCLE else marks.window
    outline_of((*view.px_from_level0(*hotspot.box[:2]), *view.px_from_level0(*hotspot.box[2:])), colour=HOTSPOT_COLOUR)
    counts = f"{hotspot.count} in {hotspot.area_mm2:.2f} mm2 ({describe_hpf(hotspot.area_mm2)})"
    parts = (*LEGEND, "unreadable") if is_hatched else LEGEND
    return above_legend(marks.over(slide_part), title=f"{title}: {counts}", px_um=view.px_um, parts=parts)


@dataclass(frozen=True)
class _View:
    """A part of a slide as a picture."""

    picture: Image.Image
    #: Level-0 row and column of its top left.
    corner: tuple[float, float]
    px_per_level0_px: float
    px_um: float

    def px_from_level0(self, row: float, col: float) -> tuple[float, float]:
        return (row - self.corner[0]) * self.px_per_level0_px, (col - self.corner[1]) * self.px_per_level0_px


def _hatched(view: _View, result: ScanResult) -> tuple[Image.Image, bool]:
    """The picture with what could not be read hatched, for it looks like glass; and whether there is any."""
    boxes = []
    for box in map(result.frame.level0_box_from_map, result.unreadable):
        edges = (*view.px_from_level0(box.top, box.left), *view.px_from_level0(box.bottom, box.right))
        boxes.append(Box(*map(round, edges)).clipped(view.picture.height, view.picture.width))
    boxes = [box for box in boxes if box.top < box.bottom and box.left < box.right]  # The others lie out of sight.
    pixels = np.asarray(view.picture).copy()
    lines = hatching(pixels.shape[:2], boxes)
    pixels[lines] = UNREADABLE_COLOUR
    return Image.fromarray(pixels), bool(lines.any())


def _look(box: Box, frame: Frame, slide: Slide) -> _View:
    longest_px = max(box.height, box.width)
    cell_px = max(1.0, longest_px / SLIDE_PX)
    margin = longest_px * MARGIN
    top, left = (max(0, math.floor((edge - margin) / cell_px)) for edge in (box.top, box.left))
    bottom, right = (math.ceil((edge + margin) / cell_px) for edge in (box.bottom, box.right))
    cell_um = cell_px * frame.level0_mpp
    colours = read_thumbnail(slide, frame, cell_um=cell_um, within=Box(top, left, bottom, right)).colours
    factor = max(1, SLIDE_PX // max(colours.shape))
    picture = Image.fromarray(colours.repeat(factor, axis=0).repeat(factor, axis=1))
    return _View(picture, (top * cell_px, left * cell_px), factor / cell_px, cell_um / factor)
