"""mpp: what a file says, whether that can be true, and what to do where it says nothing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from scanner.errors import ResolutionError, SettingsError

#: Light microscopes resolve no finer than about 0.2 um; an overview level lies at tens of um per pixel.
PLAUSIBLE_MPP = (0.05, 40.0)  # um/px
#: What the caller may say: from electron microscopes, a tenth of a nanometre, to overviews.
POSSIBLE_MPP = (1e-4, 40.0)  # um/px
#: A plain field has tags from any camera or editor: believe those of a microscope only.
PLAUSIBLE_FIELD_MPP = (0.05, 5.0)  # um/px
#: Pixels are square within this; the mean of both sides is then right to half of it.
MAX_ANISOTROPY = 0.05
#: A level's own tags agree with level 0 within this (relative).
LEVEL_TOLERANCE = 0.1

ASSUMED = "assumed"
OVERRIDE = "override"

_UM_PER_INCH, _UM_PER_CM = 25_400.0, 10_000.0
_UM_PER_OME_UNIT = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "Å": 1e-4}
#: Descriptions are short; parsing megabytes of hostile XML is not our work.
_MAX_XML = 2**24  # characters


@dataclass(frozen=True)
class Resolution:
    """The size of a level-0 pixel as a file states it."""

    #: Micrometres per pixel down and across.
    row_mpp: float
    col_mpp: float
    #: Where it is stated, e.g. "tiff tag".
    source: str

    @property
    def mpp(self) -> float:
        """One number for both sides."""
        return math.sqrt(self.row_mpp * self.col_mpp)

    @property
    def anisotropy(self) -> float:
        """How much longer than wide a pixel is, or the other way round; 0 = square."""
        return max(self.row_mpp, self.col_mpp) / min(self.row_mpp, self.col_mpp) - 1


def check_override(mpp: float | None) -> None:
    """SettingsError unless `mpp` is None or a possible value."""
    if mpp is not None and not _is_plausible(mpp, POSSIBLE_MPP):
        raise SettingsError(f"mpp = {mpp!r} um/px is impossible; a slide has {_said(POSSIBLE_MPP)}")


def settle_slide_mpp(path: Path, stated: Resolution | None, override: float | None) -> tuple[float, str]:
    """(mpp, source) of a slide: the override, or what the file states if that can be true.

    Raises
    ------
    ResolutionError
        mpp is missing, implausible, or differs between rows and columns.
    """
    if override is not None:
        return override, OVERRIDE
    if stated is None:
        raise ResolutionError(f"{path}: the slide does not state its mpp; pass it with --mpp")
    for mpp in (stated.row_mpp, stated.col_mpp):
        if not _is_plausible(mpp, PLAUSIBLE_MPP):
            raise ResolutionError(
                f"{path}: {mpp:.6g} um/px ({stated.source}) is implausible for a slide, which has "
                f"{_said(PLAUSIBLE_MPP)}; pass the right value with --mpp"
            )
    _check_square(path, stated)
    return stated.mpp, stated.source


def settle_field_mpp(path: Path, stated: Resolution | None, override: float | None) -> tuple[float | None, str]:
    """(mpp, source) of a plain field, where mpp None is for the caller to assume."""
    if override is not None:
        return override, OVERRIDE
    if stated is None or not all(_is_plausible(mpp, PLAUSIBLE_FIELD_MPP) for mpp in (stated.row_mpp, stated.col_mpp)):
        return None, ASSUMED
    _check_square(path, stated)
    return stated.mpp, stated.source


def check_level(path: Path, stated: Resolution, reduced: Resolution, downsample: float) -> None:
    """ResolutionError if the tags of a reduced level contradict level 0.

    A level may state its own pixel size or repeat that of level 0; both are common.
    """
    if not _is_plausible(reduced.mpp, (0.0, math.inf)) or not _is_plausible(stated.mpp, (0.0, math.inf)):
        return
    ratio = reduced.mpp / stated.mpp
    if all(abs(ratio / expected - 1) > LEVEL_TOLERANCE for expected in (1.0, downsample)):
        raise ResolutionError(
            f"{path}: level 0 states {stated.mpp:.6g} um/px, but a level reduced {downsample:.4g} times states "
            f"{reduced.mpp:.6g}; pass the right value with --mpp"
        )


def resolution_from_tags(row_resolution: float | None, col_resolution: float | None, unit: int) -> Resolution | None:
    """From a TIFF's YResolution, XResolution (pixels per unit) and ResolutionUnit (2 = inch, 3 = cm, 1 = none)."""
    um_per_unit = {2: _UM_PER_INCH, 3: _UM_PER_CM}.get(unit)
    if um_per_unit is None or not row_resolution or not col_resolution:
        return None
    return Resolution(um_per_unit / row_resolution, um_per_unit / col_resolution, "tiff tag")


def resolution_from_imagej(
    description: str, row_resolution: float | None, col_resolution: float | None
) -> Resolution | None:
    """From the same tags in a TIFF of ImageJ or Fiji, whose unit stands in the ImageDescription."""
    is_um = re.search(r"^unit=(micron|um|µm|\\u00B5m)s?$", description, re.MULTILINE)
    if not (description.startswith("ImageJ=") and is_um and row_resolution and col_resolution):
        return None
    return Resolution(1 / row_resolution, 1 / col_resolution, "imagej description")


def resolution_from_aperio(description: str) -> Resolution | None:
    """From "... |MPP = 0.4990| ..." in the ImageDescription of an Aperio slide."""
    match = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", description)
    mpp = _number(match.group(1)) if match else None
    return None if mpp is None else Resolution(mpp, mpp, "aperio description")


def resolution_from_ome(description: str) -> Resolution | None:
    """From PhysicalSizeX and PhysicalSizeY of the first image in OME-XML."""
    pixels = ome_pixels(description)
    if pixels is None:
        return None
    sides = [
        (_number(pixels.get(f"PhysicalSize{axis}")), _UM_PER_OME_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        for axis in "YX"
    ]
    (row, row_unit), (col, col_unit) = sides
    if row is None or col is None or row_unit is None or col_unit is None:
        return None
    return Resolution(row * row_unit, col * col_unit, "ome-xml")


def ome_pixels(description: str) -> ElementTree.Element | None:
    """The first <Pixels> of OME-XML, or None if the description is something else."""
    # Entities are of no use in OME-XML and the way in which small XML becomes large.
    if len(description) > _MAX_XML or "<OME" not in description or "<!ENTITY" in description:
        return None
    try:
        root = ElementTree.fromstring(description)  # noqa: S314  (no entities: see above)
    except ElementTree.ParseError:
        return None
    return root.find("{*}Image/{*}Pixels")


def _check_square(path: Path, stated: Resolution) -> None:
    if stated.anisotropy > MAX_ANISOTROPY:
        raise ResolutionError(
            f"{path}: pixels of {stated.row_mpp:.6g} x {stated.col_mpp:.6g} um ({stated.source}) are not square; "
            "pass one value with --mpp"
        )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _is_plausible(mpp: float, limits: tuple[float, float]) -> bool:
    return math.isfinite(mpp) and limits[0] <= mpp <= limits[1] and mpp > 0


def _said(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g}"
