"""Strokes of a pen over a slide's pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tests.factories.slides import Pixels

INKS = {
    "black": (20, 20, 20),
    "pure black": (0, 0, 0),
    "blue": (30, 60, 180),
    "green": (20, 140, 70),
    "red": (220, 30, 40),
    "yellow": (250, 210, 30),
    "orange": (255, 140, 0),
}
#: From (x, y) to (x, y).
Line = tuple[int, int, int, int]


def drawn(
    pixels: Pixels, line: Line, *, ink: str, width: int, opacity: float = 1.0
) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """The pixels with a stroke over them, round at both ends; and where it lies."""
    mask = Image.new("L", (pixels.shape[1], pixels.shape[0]), 0)
    pen = ImageDraw.Draw(mask)
    pen.line(line, fill=255, width=width)
    for x, y in (line[:2], line[2:]):
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    veil = np.asarray(mask, np.float32)[..., None] / 255 * opacity
    mixed = pixels * (1 - veil) + np.array(INKS[ink], np.float32) * veil
    return mixed.round().astype(np.uint8), veil[..., 0] > 0
