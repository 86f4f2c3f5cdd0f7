"""The stain of a field or case: moments of its optical density, and the linear maps between stains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.optical_density import OPTICAL_DENSITY
from scanner.labels.fields import RIM_UM, LabelledField, Points
from scanner.survey.tissue import absorbs_light

Array = npt.NDArray[np.float64]


#: Figures cut from one slide from which its stain can be told; below, the whole scanner's is used.
MIN_FIELDS = 5

#: Every so many-th row and column is measured.
THINNING = 4

#: Keeps the square root of a covariance stable where a channel hardly varies.
RIDGE = 1e-4


@dataclass(frozen=True)
class Stain:
    """First and second moments of the optical density of tissue."""

    mean: Array  # (3,)
    covariance: Array  # (3, 3)

    @property
    def std(self) -> Array:
        """Standard deviation per channel."""
        return np.sqrt(np.diagonal(self.covariance))


def measure_stain(pixels: npt.NDArray[np.uint8], *, mpp: float, without: Points | None = None) -> Stain:
    """Stain of the tissue in `pixels` (H, W, 3), as a scan measures it; of all pixels where none is tissue.

    Pixels nearer than RIM_UM to a point (row, col) of `without` do not count.
    """
    thin = pixels[::THINNING, ::THINNING]
    chosen = absorbs_light(thin)
    for row, col in without if without is not None else ():
        rows, cols = np.ogrid[: thin.shape[0], : thin.shape[1]]
        distance = np.hypot(rows * THINNING - row, cols * THINNING - col) * mpp
        chosen &= distance > RIM_UM
    values = OPTICAL_DENSITY[thin[chosen if chosen.any() else ...].reshape(-1, 3)]
    return Stain(values.mean(axis=0), np.cov(values, rowvar=False) + RIDGE * np.eye(3))


def mix_stains(stains: Sequence[Stain]) -> Stain:
    """Stain of several areas of equal size together."""
    means = np.stack([one.mean for one in stains])
    spread = np.cov(means, rowvar=False, bias=True) if len(stains) > 1 else np.zeros((3, 3))
    return Stain(means.mean(axis=0), np.mean([one.covariance for one in stains], axis=0) + spread)


def interpolate_stains(first: Stain, second: Stain, share: float) -> Stain:
    """The stain `share` of the way from the first to the second."""
    return Stain(
        first.mean + share * (second.mean - first.mean),
        first.covariance + share * (second.covariance - first.covariance),
    )


def exchange_matrix(source: Stain, target: Stain) -> Array:
    """The matrix (3, 3) that turns the covariance of `source` into that of `target`, colours least rotated."""
    return _root(target.covariance) @ np.linalg.inv(_root(source.covariance))


@dataclass(frozen=True)
class StainBook:
    """Stain of every field and of the case it belongs to."""

    fields: tuple[Stain, ...]
    cases: tuple[Stain, ...]


def measure_stains(fields: Iterable[LabelledField]) -> StainBook:
    """Stains of `fields`; small cut-outs share the stain of their slide, or of their scanner where they are few."""
    fields = tuple(fields)
    # A cut-out is half figure, which its slide is not: only its rim counts.
    rims = [one.points if one.source else None for one in fields]
    own = [measure_stain(f.read(), mpp=f.mpp, without=rim) for f, rim in zip(fields, rims, strict=True)]
    cases, sources = defaultdict(list), defaultdict(list)
    for one, stain in zip(fields, own, strict=True):
        cases[one.case].append(stain)
        sources[one.source].append(stain)
    of_case = {name: mix_stains(stains) for name, stains in cases.items()}
    of_source = {name: mix_stains(stains) for name, stains in sources.items()}
    shared = [
        of_source[one.source] if one.source and len(cases[one.case]) < MIN_FIELDS else of_case[one.case]
        for one in fields
    ]
    kept = [case if one.source else stain for one, stain, case in zip(fields, own, shared, strict=True)]
    return StainBook(tuple(kept), tuple(shared))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(values)) @ vectors.T
    return root
