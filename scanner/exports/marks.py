"""Marks on a picture of a slide: rings, windows, outlines, hatching. PIL alone, edges smoothed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

DETECTION_COLOUR: Colour = (0, 145, 70)
BORDER_COLOUR: Colour = (225, 125, 0)
HOTSPOT_COLOUR: Colour = (20, 80, 200)
TISSUE_COLOUR: Colour = (70, 70, 90)
UNREADABLE_COLOUR: Colour = (60, 60, 60)
INK_COLOUR: Colour = (40, 40, 130)
HALO_COLOUR: Colour = (255, 255, 255)

#: Marks are drawn this much larger and then reduced, which smooths their edges.
OVERSAMPLING = 2
#: Side of the squares that the layer is laid over a picture by, in picture px: only those that something is drawn in.
SQUARE_PX = 128
#: Distance of two hatching lines, and their width, in picture px.
HATCH_STEP_PX, HATCH_LINE_PX = 12, 3


@dataclass
class Marks:
    """A transparent layer over a picture; all coordinates are (row, col) in picture px."""

    height: int
    width: int
    _layer: Image.Image = field(init=False)
    _draw: ImageDraw.ImageDraw = field(init=False)
    #: Row and column of the squares that something is drawn in.
    _touched: set[tuple[int, int]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Start with nothing drawn."""
        self._layer = Image.new("RGBA", (self.width * OVERSAMPLING, self.height * OVERSAMPLING))
        self._draw = ImageDraw.Draw(self._layer)

    def ring(self, row: float, col: float, *, radius: float, colour: Colour) -> None:
        """A circle with a white rim on both sides, to be seen on any stain."""
        for grow, line, paint in ((1.0, 5.0, HALO_COLOUR), (0.0, 3.0, colour)):
            reach = radius + grow
            box = (col - reach, row - reach, col + reach, row + reach)
            self._draw.ellipse(self._scaled(box), outline=(*paint, 255), width=round(line * OVERSAMPLING))

    def window(self, box: tuple[float, float, float, float], *, colour: Colour, line: float = 3.0) -> None:
        """The outline of (top, left, bottom, right), with a white rim."""
        top, left, bottom, right = box
        for grow, width, paint in ((1.0, line + 2, HALO_COLOUR), (0.0, line, colour)):
            corners = self._scaled((left - grow, top - grow, right + grow, bottom + grow))
            self._draw.rectangle(corners, outline=(*paint, 255), width=round(width * OVERSAMPLING))

    def circle(self, box: tuple[float, float, float, float], *, colour: Colour, line: float = 3.0) -> None:
        """The circle that fills (top, left, bottom, right), with a white rim."""
        top, left, bottom, right = box
        for grow, width, paint in ((1.0, line + 2, HALO_COLOUR), (0.0, line, colour)):
            corners = self._scaled((left - grow, top - grow, right + grow, bottom + grow))
            self._draw.ellipse(corners, outline=(*paint, 255), width=round(width * OVERSAMPLING))

    def text(self, row: float, col: float, text: str, *, size: float, colour: Colour) -> None:
        """Text with its top left there, in white outline."""
        place = (col * OVERSAMPLING, row * OVERSAMPLING)
        type_of, stroke = font(size * OVERSAMPLING), round(size / 8 * OVERSAMPLING)
        self._touch(self._draw.textbbox(place, text, font=type_of, stroke_width=stroke))
        self._draw.text(
            place, text, font=type_of, fill=(*colour, 255), stroke_width=stroke, stroke_fill=(*HALO_COLOUR, 230)
        )

    def over(self, picture: Image.Image) -> Image.Image:
        """`picture` with these marks."""
        marked = picture.convert("RGB")  # A copy, whatever it was.
        for row, col in self._touched:
            top, left = row * SQUARE_PX, col * SQUARE_PX
            right, bottom = min(left + SQUARE_PX, self.width), min(top + SQUARE_PX, self.height)
            drawn = self._layer.crop(
                (left * OVERSAMPLING, top * OVERSAMPLING, right * OVERSAMPLING, bottom * OVERSAMPLING)
            )
            below = picture.crop((left, top, right, bottom)).convert("RGBA")
            marked.paste(Image.alpha_composite(below, drawn.reduce(OVERSAMPLING)), (left, top))
        return marked

    def _scaled(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box in px of the layer, in which something is drawn."""
        left, top, right, bottom = (edge * OVERSAMPLING for edge in box)
        self._touch((left, top, right, bottom))
        return left, top, right, bottom

    def _touch(self, box: tuple[float, float, float, float]) -> None:
        """Note the squares of a box in px of the layer, and of a pixel around it: PIL rounds edges to whole pixels."""
        side = SQUARE_PX * OVERSAMPLING
        lengths = (self.width, self.height)
        cols, rows = (
            range(
                max(0, math.floor(first) - OVERSAMPLING) // side,
                min(-(-length // SQUARE_PX), (math.ceil(last) + OVERSAMPLING) // side + 1),
            )
            for first, last, length in zip(box[:2], box[2:], lengths, strict=True)
        )
        self._touched.update(product(rows, cols))


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that touch the outside, two pixels wide; the picture's border is no outside."""
    inner = mask
    for _ in range(2):
        framed = np.pad(inner, 1, mode="edge")
        inner = inner & framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return mask & ~inner


def hatching(shape: tuple[int, int], boxes: Iterable[tuple[int, int, int, int]]) -> npt.NDArray[np.bool_]:
    """Pixels of diagonal lines within boxes (top, left, bottom, right)."""
    is_hatched = np.zeros(shape, np.bool_)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    for top, left, bottom, right in boxes:
        lines = (rows[top:bottom] + cols[:, left:right]) % HATCH_STEP_PX < HATCH_LINE_PX
        is_hatched[top:bottom, left:right] |= lines
    return is_hatched


@cache
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with PIL."""
    return ImageFont.load_default(size)
