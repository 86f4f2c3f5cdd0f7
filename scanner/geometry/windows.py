"""Windows in which mitoses are counted: their area and shape, and the presets that pathologists know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from scanner.errors import SettingsError

if TYPE_CHECKING:
    from scanner.geometry.frames import Frame

#: Area in which mitoses are counted, as pathologists do today instead of in ten high-power fields (Cree et al. 2021).
HOTSPOT_MM2 = 2.0
#: Area of one high-power field, which differs between microscopes: this is the standard of Meuten et al. 2016.
HPF_MM2 = 0.237
#: Allowed areas of windows, in mm2.
SMALLEST_MM2, LARGEST_MM2 = 1e-4, 1e4
#: Smaller areas are shown in square micrometres.
SMALL_MM2 = 0.001


class Shape(StrEnum):
    """Outline of a window."""

    BOX = "box"  # sides along rows and columns
    CIRCLE = "circle"


@dataclass(frozen=True)
class Window:
    """Area and shape in which detections are counted."""

    area_mm2: float = HOTSPOT_MM2
    shape: Shape = Shape.BOX
    #: Width per height of a box, where the slide leaves room for it: 4 / 3 for the field of a camera.
    aspect: float = 1.0

    @property
    def radius_um(self) -> float:
        """Radius of a circle of this area."""
        return math.sqrt(self.area_mm2 * 1e6 / math.pi)

    def size_px(self, frame: Frame) -> tuple[int, int]:
        """Height and width of a box, in level-0 px, or of as much of it as the slide holds."""
        area_px = self.area_mm2 * (1000 / frame.level0_mpp) ** 2
        height = min(math.sqrt(area_px / self.aspect), frame.level0_height)
        width = min(area_px / height, frame.level0_width)
        height = min(area_px / width, frame.level0_height)  # A narrow slide gets a longer window.
        return max(1, round(height)), max(1, round(width))


PRESETS = {
    "2mm2": Window(),
    "10hpf": Window(10 * HPF_MM2, aspect=4 / 3),
    "circle": Window(shape=Shape.CIRCLE),
}


def window_from_text(text: str) -> Window:
    """The window of a preset, or a square box of that many square millimetres.

    Raises
    ------
    SettingsError
        Neither a preset nor an area that makes sense.
    """
    if text in PRESETS:
        return PRESETS[text]
    try:
        area_mm2 = float(text)
    except ValueError:
        area_mm2 = math.nan
    if not SMALLEST_MM2 <= area_mm2 <= LARGEST_MM2:
        raise SettingsError(f"hotspot = {text!r} is impossible; pass {', '.join(PRESETS)} or an area in mm2")
    return Window(area_mm2)


def describe_hpf(area_mm2: float) -> str:
    """An area in high-power fields, never without their own area."""
    return f"{area_mm2 / HPF_MM2:.1f} HPF of {HPF_MM2} mm2"


def describe_area(area_mm2: float) -> str:
    """An area in mm2, or in um2 where it is small."""
    return f"{area_mm2:.3f} mm2" if area_mm2 >= SMALL_MM2 else f"{area_mm2 * 1e6:.3f} um2"
