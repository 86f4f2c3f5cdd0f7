"""A segmentation in colour: `segmentation.png`, and the colours and names that pictures of it share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scanner.exports.marks import Colour
from scanner.files.atomic import replacing
from scanner.geometry.windows import describe_area
from scanner.maps.segmentation import ClassArea, Segmentation, sample_labels

#: Longest side of `segmentation.png`, in pixels.
PICTURE_PX = 4096
#: Of the classes that have a map, in the card's order, over again where there are more.
CLASS_COLOURS: tuple[Colour, ...] = (
    (220, 40, 40),
    (30, 110, 220),
    (40, 160, 70),
    (235, 150, 20),
    (150, 60, 190),
    (20, 170, 180),
    (200, 90, 140),
    (130, 120, 40),
)
#: Of the class that is everything else, and of what was not scanned.
REST_COLOUR: Colour = (245, 245, 245)
NOT_SCANNED_COLOUR: Colour = (160, 160, 160)


def write_segmentation_picture(path: Path, segmentation: Segmentation, mapped: tuple[str, ...]) -> None:
    """Write `segmentation.png`: the class of every position by its colour; the class is the palette's index.

    Parameters
    ----------
    path : Path
        The file.
    segmentation : Segmentation
    mapped : tuple of str
        The classes that have a map; the others are the ground that they lie on.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    frame = segmentation.frame
    slide_um = np.array([frame.level0_height, frame.level0_width]) * frame.level0_mpp
    px_um = max(frame.map_mpp, float(slide_um.max()) / PICTURE_PX)
    height, width = np.ceil(slide_um / px_um - 1e-6).astype(int).tolist()
    picture = Image.fromarray(sample_labels(segmentation, (height, width), px_um=px_um), mode="P")
    picture.putpalette(palette(segmentation.areas, mapped).tobytes())
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def palette(areas: tuple[ClassArea, ...], mapped: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """The colour of each label, (256, 3)."""
    colours = np.full((256, 3), NOT_SCANNED_COLOUR, np.uint8)
    for area in areas:
        colours[area.label] = colour_of(area.name, mapped)
    return colours


def colour_of(name: str, mapped: tuple[str, ...]) -> Colour:
    """The colour of a class."""
    return CLASS_COLOURS[mapped.index(name) % len(CLASS_COLOURS)] if name in mapped else REST_COLOUR


def describe_class(area: ClassArea) -> str:
    """A class with its share and area."""
    return f"{area.name} {area.share:.1%}, {describe_area(area.area_mm2)}"
