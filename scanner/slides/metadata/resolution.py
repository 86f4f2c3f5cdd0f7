"""Which mpp an image has: what its file states, whether that is plausible, and what follows where it states none."""

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
    text: str = ""
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
    """A statement of the pixel size that cannot be used."""

    #: As the file has it.
    text: str
    #: Where it stands.
    source: str
    #: Goes on after `text`, e.g. "is no number".
    reason: str


#: None: the file is silent.
Stated = Resolution | Unusable | None


@dataclass(frozen=True)
class Mpp:
    """The mpp that a file gives an image, or why it gives none."""

    #: Micrometres per pixel; None if there is a problem, or for the caller to assume.
    value: float | None
    #: Where it is stated; "assumed" for a plain field that states none.
    source: str
    #: Why a slide cannot be scanned without an mpp of the caller's; empty if it can.
    problem: str = ""


def check_override(mpp: float | None) -> None:
    """SettingsError unless `mpp` is None or a possible value."""
    if mpp is not None and not _is_plausible(mpp, POSSIBLE_MPP):
        raise SettingsError(f"mpp = {mpp!r} um/px is impossible; a slide has {_range(POSSIBLE_MPP)}")


def settle_mpp(stated: Stated, *, is_slide: bool) -> Mpp:
    """The mpp of an image by what its file states: the one rule, for every format.

    A slide that states no mpp has a problem; a plain field may be silent, and its mpp is then for the caller to assume.
    """
    if stated is None and is_slide:
        return _problem("the slide does not state its mpp; pass it with --mpp")
    if stated is None or (not is_slide and isinstance(stated, Resolution) and _is_of_a_picture(stated)):
        return Mpp(None, ASSUMED)
    if isinstance(stated, Unusable):
        return _problem(f"{stated.text} ({stated.source}) {stated.reason}; pass the right value with --mpp")
    for mpp in (stated.row_mpp, stated.col_mpp):
        if not _is_plausible(mpp, PLAUSIBLE_MPP):
            text = f" stated as {stated.text!r}," if stated.text else ""
            return _problem(
                f"{mpp:.6g} um/px ({stated.source}),{text} is implausible for a slide, which has "
                f"{_range(PLAUSIBLE_MPP)}; pass the right value with --mpp"
            )
    if stated.anisotropy > MAX_ANISOTROPY:
        return _problem(
            f"pixels of {stated.row_mpp:.6g} x {stated.col_mpp:.6g} um ({stated.source}) are not square; "
            "pass one value with --mpp"
        )
    return Mpp(stated.mpp, stated.source)


def use_mpp(path: Path, mpp: Mpp, override: float | None) -> tuple[float | None, str]:
    """(mpp, source) that a slide is opened with: the caller's, or else its file's.

    Raises
    ------
    ResolutionError
        The caller passes none, and the file's cannot be used.
    """
    if override is not None:
        return override, OVERRIDE
    if mpp.problem:
        raise ResolutionError(f"{path}: {mpp.problem}")
    return mpp.value, mpp.source


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


def _problem(reason: str) -> Mpp:
    return Mpp(None, "", reason)


def _is_of_a_picture(stated: Resolution) -> bool:
    return stated.is_density and min(stated.row_mpp, stated.col_mpp) > COARSEST_DENSITY


def _is_plausible(mpp: float, limits: tuple[float, float]) -> bool:
    return math.isfinite(mpp) and limits[0] <= mpp <= limits[1] and mpp > 0


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g}"
