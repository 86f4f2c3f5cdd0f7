"""Which places crops are centred on: figures, cut-out figures, disputed points, mined negatives, random tissue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanner.labels.fields import LabelledField
from scanner.labels.targets import NO_CLASS
from scanner.training.stain import StainBook

#: Of each class that a label image has, this many pixels are places to look at.
PLACES_PER_CLASS = 256


@dataclass(frozen=True)
class Place:
    """A point of a field that a crop is centred on."""

    #: Index of the field among the training fields.
    field: int
    #: Level-0 pixels of the field.
    row: float
    col: float


@dataclass(frozen=True)
class Pools:
    """Places to draw from, by pool name; "tissue" is drawn anywhere and needs no list."""

    places: Mapping[str, tuple[Place, ...]]
    #: Sizes (height, width) of the fields that tissue is drawn from, by index.
    sizes: Mapping[int, tuple[int, int]]

    def with_mined(self, mined: tuple[Place, ...]) -> Pools:
        """These pools with other mined negatives."""
        return Pools({**self.places, "mined": mined}, self.sizes)


@dataclass(frozen=True)
class TrainingSet:
    """What batches are drawn from."""

    fields: tuple[LabelledField, ...]
    #: None for images that have none: grey ones, and those of other channels.
    stains: StainBook | None
    pools: Pools


def make_pools(fields: tuple[LabelledField, ...], sizes: Mapping[int, tuple[int, int]]) -> Pools:
    """Pools of the training fields; `sizes` lists those of which the whole is labelled."""
    places: dict[str, list[Place]] = {"figures": [], "cutouts": [], "disputed": [], "mined": []}
    for index, one in enumerate(fields):
        figures = "figures" if index in sizes else "cutouts"
        places[figures] += [Place(index, row, col) for row, col in one.points]
        places["disputed"] += [Place(index, row, col) for row, col in one.disputed]
        if one.pixel_classes is not None:
            places["figures"] += draw_labelled(index, one.pixel_classes)
    return Pools({name: tuple(pool) for name, pool in places.items()}, dict(sizes))


def draw_labelled(index: int, pixel_classes: npt.NDArray[np.uint8]) -> list[Place]:
    """Places of every class but the background in a field of which every pixel has one, as many of each at most."""
    rng = np.random.default_rng(index)
    places: list[Place] = []
    for kind in np.unique(pixel_classes[(pixel_classes > 0) & (pixel_classes != NO_CLASS)]):
        rows, cols = np.nonzero(pixel_classes == kind)
        chosen = rng.permutation(len(rows))[:PLACES_PER_CLASS]
        places += [Place(index, float(rows[pixel]), float(cols[pixel])) for pixel in chosen]
    return places


def draw_places(pools: Pools, shares: Mapping[str, float], *, count: int, rng: np.random.Generator) -> list[Place]:
    """`count` places, from each pool about its share; the share of an empty pool goes to tissue."""
    names = list(shares)
    weights = np.array([shares[name] for name in names]) / sum(shares.values())
    return [_draw_place(pools, names[choice], rng) for choice in _spread(weights, count, rng)]


def _spread(weights: npt.NDArray[np.float64], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    # Systematic sampling: every batch has its shares to within one crop, so that batch statistics are steady.
    ticks = (np.arange(count) + rng.random()) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), ticks), len(weights) - 1)


def _draw_place(pools: Pools, name: str, rng: np.random.Generator) -> Place:
    pool = pools.places.get(name, ())
    return pool[int(rng.integers(len(pool)))] if pool else draw_tissue(pools, rng)


def draw_tissue(pools: Pools, rng: np.random.Generator) -> Place:
    """A place anywhere in a field of which the whole is labelled."""
    indices = list(pools.sizes)
    index = indices[int(rng.integers(len(indices)))]
    height, width = pools.sizes[index]
    return Place(index, rng.uniform(0, height - 1), rng.uniform(0, width - 1))
