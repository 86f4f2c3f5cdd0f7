"""How 8-bit pixels become network input: one table per channel, whatever the method.

Every method here is pointwise, so it commutes with cropping and the dense scan stays exact. What differs per
slide (its stain) enters as `StainStatistics`, computed once for the whole slide and never per tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: A stain is seen in the red, green and blue of light that went through.
STAINED_CHANNELS = 3


class NormalisationKind(StrEnum):
    """How the table is made."""

    AFFINE = "affine"  # (value / 255 - mean) / std, the same for every slide
    STAIN = "stain"  # optical density, centred and scaled by the slide's own stain statistics


@dataclass(frozen=True)
class StainStatistics:
    """Optical density of a slide's tissue, per colour."""

    #: Mean optical density of tissue pixels, one per channel.
    mean: tuple[float, ...]
    #: Standard deviation of the optical density of tissue pixels, one per channel.
    std: tuple[float, ...]


@dataclass(frozen=True)
class Normalisation:
    """The pixel contract of a model: part of its card and of its identity."""

    kind: NormalisationKind = NormalisationKind.AFFINE
    #: Per channel. AFFINE: subtracted from value / 255. STAIN: the statistics assumed where a slide has no tissue.
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @property
    def channels(self) -> int:
        """Number of channels that the model reads."""
        return len(self.mean)

    @property
    def pixel_channels(self) -> int:
        """Number of channels that a slide's pixels must have: grey is made of red, green and blue."""
        return STAINED_CHANNELS if self.channels == 1 else self.channels

    @property
    def needs_statistics(self) -> bool:
        """True if the table depends on the slide."""
        return self.kind is NormalisationKind.STAIN
