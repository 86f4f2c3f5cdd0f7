"""Whether a slide is what a model of stained tissue was trained on: coloured light through tissue, on bright glass.

A network gives every image a score. On fluorescence, dark field or a grey image they mean nothing, so such slides are
refused before the scan. What has nothing on it at all (glass, a blank field) is a slide without figures, not refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from scanner.errors import UnreadableRegionError, UnsupportedSlideError
from scanner.geometry.frames import Box, Frame
from scanner.slides.pixels.protocol import Level, Slide

#: Places looked at, at most, down and across a slide; spread evenly, so that the same slide gives the same answer.
PLACES = 24
#: Side of a place.
PLACE_UM = 16.0
#: A place is dark below this mean, and glass if no channel is below that (8-bit values).
DARK, GLASS = 40.0, 190.0
#: Fluorescence: most places are dark, and hardly one is glass.
DARK_SHARE, GLASS_SHARE = 0.5, 0.01
#: A place absorbs light below this mean; fewer of them are dust on empty glass.
ABSORBING, ABSORBING_SHARE = 200.0, 0.02
#: Channels of a grey pixel differ by no more than a JPEG's rounding; those of stained tissue by 20 and more.
GREY = 6.0
#: Samples of so many bits whose 8 upper ones stay below this may hold fewer bits: light through glass is white.
_WHOLE, _HALF = 16, 128.0
#: Pixels that all lie this close to their mean show nothing.
BLANK = 2.0


@dataclass(frozen=True)
class Places:
    """What was measured at each place that can be read, (n,) each."""

    #: Mean over pixels and channels.
    mean: npt.NDArray[np.float64]
    #: Mean of the channel that is lowest.
    lowest: npt.NDArray[np.float64]
    #: Mean over pixels of the difference between the greatest and the smallest channel.
    colour: npt.NDArray[np.float64]
    #: The greatest value of all.
    highest: float = 255.0


def refuse_other_stains(slide: Slide, frame: Frame) -> None:
    """Let a brightfield slide pass.

    Raises
    ------
    UnsupportedSlideError
        The slide is grey, or dark as fluorescence is.
    """
    places = measure_places(slide, frame)
    reason = find_other_stain(places)
    if slide.sample_bits == _WHOLE and places.mean.size and places.highest < _HALF:
        reason = (
            "its 16-bit values reach no half of what they could: it is dark, as fluorescence is, or holds fewer bits; "
            "say how many in the file (OME-XML's SignificantBits, TIFF's MaxSampleValue), write it as 8 bits,"
        )
    if reason:
        joint = " or" if reason.endswith(",") else ";"
        raise UnsupportedSlideError(f"{slide.path}: {reason}{joint} pass --any-stain to scan it all the same")


def find_other_stain(places: Places) -> str:
    """Why these are no places of a brightfield slide; empty if they may be."""
    if places.mean.size == 0 or np.ptp(places.mean) <= BLANK:
        return ""
    dark, glass = (places.mean < DARK).mean(), (places.lowest >= GLASS).mean()
    if dark > DARK_SHARE and glass < GLASS_SHARE:
        return f"{dark:.0%} of it is near black and none of it bright glass, as in fluorescence or dark field"
    absorbing = (places.mean < ABSORBING) & (places.mean >= DARK)
    if absorbing.mean() > ABSORBING_SHARE and np.quantile(places.colour[absorbing], 0.99) <= GREY:
        return "it is grey, not stained tissue in colour"
    return ""


def measure_places(slide: Slide, frame: Frame) -> Places:
    """The slide at up to PLACES x PLACES places, of the coarsest level that shows each with several pixels."""
    index, level = _choose_level(slide, frame)
    side = max(1, round(PLACE_UM / (frame.level0_mpp * level.downsample)))
    rows, cols = (_starts(length, side) for length in (level.height, level.width))
    values, highest = [], 0.0
    for top, left in product(rows, cols):
        box = Box(top, left, top + side, left + side).clipped(level.height, level.width)
        try:
            pixels = slide.read(index, box).astype(np.float64).reshape(-1, 3)
        except UnreadableRegionError:
            continue
        highest = max(highest, pixels.max(initial=0.0))
        values.append((pixels.mean(), pixels.mean(axis=0).min(), np.ptp(pixels, axis=1).mean()))
    mean, lowest, colour = np.array(values, np.float64).reshape(-1, 3).T
    return Places(mean, lowest, colour, highest)


def _choose_level(slide: Slide, frame: Frame) -> tuple[int, Level]:
    limit = PLACE_UM / 2 / frame.level0_mpp
    fitting = [item for item in enumerate(slide.levels) if item[1].downsample <= limit]
    return max(fitting, key=lambda item: item[1].downsample, default=(0, slide.levels[0]))


def _starts(length: int, side: int) -> list[int]:
    """First pixels of up to PLACES places along a length."""
    count = max(1, min(PLACES, length // side))
    return [(2 * number + 1) * length // (2 * count) - side // 2 for number in range(count)] if length > side else [0]
