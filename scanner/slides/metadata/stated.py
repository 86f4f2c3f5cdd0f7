"""What a description, tags or attributes state of a pixel's size: read, silent, or stated and unusable.

Pure functions of text and numbers. Each returns a `Resolution` with the statement as the file has it; None where the
file says nothing, which pixels as a unit are too; or `Unusable`, which no caller may take for silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from scanner.slides.metadata.ome_xml import ome_pixels
from scanner.slides.metadata.resolution import COARSEST_DENSITY, Resolution, Stated, Unusable
from scanner.slides.metadata.units import number_of, shown, split_number, um_per_unit

#: Statements of the same that differ by more contradict each other; digits are rounded.
SAME = 0.01
#: Units of pictures' densities, in which ImageJ too keeps the dots per inch that a picture came with.
_DENSITIES = {2: "inch", 3: "cm"}


@dataclass(frozen=True)
class Length:
    """A length as a file spells it."""

    name: str
    #: Empty or None: it says nothing.
    number: str | None
    unit: str | None

    @property
    def text(self) -> str:
        """As a message shows it; empty if it says nothing."""
        if not (self.number or "").strip():
            return ""
        return shown(f"{self.name} = {(self.number or '').strip()} {self.unit or ''}")

    def um(self) -> float | None:
        """In micrometres; None if it says nothing. ValueError says why it cannot be used."""
        if not (self.number or "").strip():
            return None
        um = um_per_unit(self.unit or "")
        return None if um is None else um * _positive(number_of(self.number or ""))


@dataclass(frozen=True)
class Density:
    """Pixels per unit of length, as TIFF's tags have it; None where there is no tag."""

    name: str
    per_unit: float | None
    unit: str

    @property
    def text(self) -> str:
        """As a message shows it; empty if it says nothing."""
        return "" if self.per_unit is None else shown(f"{self.name} = {self.per_unit:.6g} per {self.unit}")

    def um(self) -> float | None:
        """Micrometres of a pixel; None if it says nothing. ValueError says why it cannot be used."""
        um = um_per_unit(self.unit)
        if um is None or self.per_unit is None:
            return None
        if self.per_unit == 0:
            raise ValueError("is zero")
        return um / _positive(self.per_unit)


def resolution_from_sides(
    row: Length | Density, col: Length | Density, source: str, *, is_density: bool = False
) -> Stated:
    """From the two sides of a pixel, which are silent together or not at all."""
    text = " and ".join(dict.fromkeys(filter(None, (row.text, col.text))))
    try:
        row_mpp, col_mpp = row.um(), col.um()
    except ValueError as error:
        return Unusable(text, source, str(error))
    if row_mpp is None and col_mpp is None:
        return None
    if row_mpp is None or col_mpp is None:
        if is_density and (row_mpp or col_mpp or 0.0) > COARSEST_DENSITY:
            return None
        return Unusable(text, source, "states the pixel size in one direction only")
    return Resolution(row_mpp, col_mpp, source, text, is_density)


def resolution_from_tags(row_resolution: float | None, col_resolution: float | None, unit: int) -> Stated:
    """From a TIFF's YResolution, XResolution (pixels per unit) and ResolutionUnit (2 = inch, 3 = cm, 1 = none)."""
    if unit not in _DENSITIES:
        return None
    # Zero is what writers put there that have nothing to say.
    row = Density("YResolution", row_resolution or None, _DENSITIES[unit])
    col = Density("XResolution", col_resolution or None, _DENSITIES[unit])
    return resolution_from_sides(row, col, "tiff tag", is_density=True)


def resolution_from_imagej(description: str, row_resolution: float | None, col_resolution: float | None) -> Stated:
    """From the same tags in a TIFF of ImageJ or Fiji, whose unit stands in the ImageDescription."""
    if not description.lstrip("\ufeff \r\n").startswith("ImageJ="):
        return None
    units = dict(re.findall(r"^[ \t]*(y?unit)[ \t]*=[ \t]*(.*?)\s*$", description, re.MULTILINE))
    if not (unit := units.get("unit")):
        return None
    row = Density("YResolution", row_resolution, units.get("yunit") or unit)
    col = Density("XResolution", col_resolution, unit)
    is_density = any(_is_same_unit(unit, one) for one in _DENSITIES.values())
    return resolution_from_sides(row, col, "imagej description", is_density=is_density)


def resolution_from_aperio(description: str) -> Stated:
    """From "... |MPP = 0.4990| ..." in the ImageDescription of an Aperio slide."""
    texts = re.findall(r"(?:^|\|)[ \t]*MPP[ \t]*[=:]([^|\r\n]*)", description, re.MULTILINE | re.IGNORECASE)
    found = [one for one in map(_from_mpp, texts) if one is not None]
    for one in found:
        if isinstance(one, Unusable):
            return one
        assert isinstance(found[0], Resolution)
        if abs(one.mpp - found[0].mpp) > SAME * found[0].mpp:
            return Unusable(f"{found[0].text} and {one.text}", one.source, "contradict each other")
    return found[0] if found else None


def resolution_from_ome(description: str) -> Stated:
    """From PhysicalSizeX and PhysicalSizeY of the first image in OME-XML."""
    pixels = ome_pixels(description)
    if pixels is not None:
        return resolution_from_pixels(pixels)
    if "OME" in description and (text := re.search(r'PhysicalSize[XY]\s*=\s*"[^"]*"?', description)):
        return Unusable(shown(text[0]), "ome-xml", "stands in damaged XML")
    return None


def resolution_from_pixels(pixels: ElementTree.Element) -> Stated:
    """From PhysicalSizeX and PhysicalSizeY of one image's <Pixels>, in µm where no unit is stated."""
    row, col = (
        Length(name, pixels.get(name), pixels.get(f"{name}Unit", "µm")) for name in ("PhysicalSizeY", "PhysicalSizeX")
    )
    return resolution_from_sides(row, col, "ome-xml")


def _from_mpp(text: str) -> Stated:
    number, unit = split_number(text)
    side = Length("MPP", number, unit or "um")
    stated = resolution_from_sides(side, side, "aperio description")
    text = shown(f"MPP = {text.strip()}")
    if isinstance(stated, Resolution):
        return Resolution(stated.row_mpp, stated.col_mpp, stated.source, text)
    return stated and Unusable(text, stated.source, stated.reason)


def _is_same_unit(unit: str, other: str) -> bool:
    try:
        return um_per_unit(unit) == um_per_unit(other)
    except ValueError:
        return False


def _positive(number: float) -> float:
    if number < 0:
        raise ValueError("is negative")
    return number
