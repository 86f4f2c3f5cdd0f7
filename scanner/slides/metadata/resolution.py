"""mpp: what a file says, whether that can be true, and what to do where it says nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import ResolutionError, SettingsError

#: Light microscopes resolve no finer than about 0.2 um; an overview level lies at tens of um per pixel.
PLAUSIBLE_MPP = (0.05, 40.0)  # um/px
#: What the caller may say: from electron microscopes, a tenth of a nanometre, to overviews.
POSSIBLE_MPP = (1e-4, 40.0)  # um/px
#: Cameras and editors write a density into any picture, 72 to 1200 dpi: coarser than this, that of a plain field says
#: nothing of a microscope.
COARSEST_DENSITY = 5.0  # um/px
#: Pixels are square within this; the mean of both sides is then right to half of it.
MAX_ANISOTROPY = 0.05
#: A level's own tags agree with level 0 within this (relative).
LEVEL_TOLERANCE = 0.1

ASSUMED = "assumed"
OVERRIDE = "override"


@dataclass(frozen=True)
class Resolution:
    """The size of a level-0 pixel as a file states it."""

    #: Micrometres per pixel down and across.
    row_mpp: float
    col_mpp: float
    #: Where it is stated, e.g. "tiff tag".
    source: str
    #: As the file has it, e.g. "MPP = 0,4990".
    said: str = ""
    #: Whether it is a density, pixels per inch or centimetre, as pictures of everything have one.
    is_density: bool = False

    @property
    def mpp(self) -> float:
        """One number for both sides."""
        return math.sqrt(self.row_mpp * self.col_mpp)

    @property
    def anisotropy(self) -> float:
        """How much longer than wide a pixel is, or the other way round; 0 = square."""
        return max(self.row_mpp, self.col_mpp) / min(self.row_mpp, self.col_mpp) - 1


@dataclass(frozen=True)
class Unusable:
    """What a file states of its pixels' size, and nobody can use."""

    #: As the file has it.
    said: str
    #: Where it stands.
    source: str
    #: Goes on after `said`, e.g. "is no number".
    reason: str


#: None: the file is silent.
Stated = Resolution | Unusable | None


def check_override(mpp: float | None) -> None:
    """SettingsError unless `mpp` is None or a possible value."""
    if mpp is not None and not _is_plausible(mpp, POSSIBLE_MPP):
        raise SettingsError(f"mpp = {mpp!r} um/px is impossible; a slide has {_said(POSSIBLE_MPP)}")


def settle_slide_mpp(path: Path, stated: Stated, override: float | None) -> tuple[float, str]:
    """(mpp, source) of a slide: the override, or what the file states if that can be true.

    Raises
    ------
    ResolutionError
        mpp is missing, unusable, implausible, or differs between rows and columns.
    """
    if override is not None:
        return override, OVERRIDE
    if stated is None:
        raise ResolutionError(f"{path}: the slide does not state its mpp; pass it with --mpp")
    return _usable(path, stated)


def settle_field_mpp(path: Path, stated: Stated, override: float | None) -> tuple[float | None, str]:
    """(mpp, source) of a plain field, where mpp None is for the caller to assume: the file is silent.

    Raises
    ------
    ResolutionError
        The file states an mpp that cannot be used.
    """
    if override is not None:
        return override, OVERRIDE
    if stated is None or (isinstance(stated, Resolution) and _is_of_a_picture(stated)):
        return None, ASSUMED
    return _usable(path, stated)


def level_contradiction(stated: Stated, reduced: Stated, downsample: float) -> str | None:
    """What a reduced level states against level 0; None if they agree, or one of them states nothing.

    A level may state its own pixel size or repeat that of level 0; both are common.
    """
    if not isinstance(stated, Resolution) or not isinstance(reduced, Resolution):
        return None
    if not _is_plausible(reduced.mpp, (0.0, math.inf)) or not _is_plausible(stated.mpp, (0.0, math.inf)):
        return None
    ratio = reduced.mpp / stated.mpp
    if any(abs(ratio / expected - 1) <= LEVEL_TOLERANCE for expected in (1.0, downsample)):
        return None
    return (
        f"it states {reduced.mpp:.6g} um/px, which is neither the {stated.mpp:.6g} of level 0 nor {downsample:.4g} "
        "times that"
    )


def _usable(path: Path, stated: Resolution | Unusable) -> tuple[float, str]:
    """(mpp, source) of what can be true; ResolutionError else."""
    if isinstance(stated, Unusable):
        raise ResolutionError(
            f"{path}: {stated.said} ({stated.source}) {stated.reason}; pass the right value with --mpp"
        )
    for mpp in (stated.row_mpp, stated.col_mpp):
        if not _is_plausible(mpp, PLAUSIBLE_MPP):
            said = f" stated as {stated.said!r}," if stated.said else ""
            raise ResolutionError(
                f"{path}: {mpp:.6g} um/px ({stated.source}),{said} is implausible for a slide, which has "
                f"{_said(PLAUSIBLE_MPP)}; pass the right value with --mpp"
            )
    _check_square(path, stated)
    return stated.mpp, stated.source


def _is_of_a_picture(stated: Resolution) -> bool:
    return stated.is_density and min(stated.row_mpp, stated.col_mpp) > COARSEST_DENSITY


def _check_square(path: Path, stated: Resolution) -> None:
    if stated.anisotropy > MAX_ANISOTROPY:
        raise ResolutionError(
            f"{path}: pixels of {stated.row_mpp:.6g} x {stated.col_mpp:.6g} um ({stated.source}) are not square; "
            "pass one value with --mpp"
        )


def _is_plausible(mpp: float, limits: tuple[float, float]) -> bool:
    return math.isfinite(mpp) and limits[0] <= mpp <= limits[1] and mpp > 0


def _said(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g}"
