"""The domain of a model: the spread of its training slides' appearance, and the distance that is too far.

Fields of a case, and slides of a scanner, are alike; cases and scanners differ. A new slide differs from the mean by
both, so its covariance is that within cases and scanners plus that between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.domain import Domain
from scanner.geometry.arrays import Pixels
from scanner.geometry.frames import Box, plan_frame
from scanner.labels.fields import DECODED_FIELDS, LabelledField, paint_figures_out
from scanner.slides import open_slide
from scanner.slides.pixels.grid import Grid
from scanner.survey.appearance import STATISTICS, appearance_of, measure_appearance
from scanner.survey.domain import measure_distance
from scanner.survey.stain import Block, read_blocks, sample_blocks
from scanner.survey.tissue import find_tissue
from scanner.training.stain import MIN_FIELDS

#: Cases and scanners without which nothing is known of how new ones differ.
MIN_GROUPS = 3
#: Vectors of a group from which its own spread is estimated.
MIN_VECTORS = 5
#: Share of the correlations that is given up: there are few cases.
SHRINKAGE = 0.5
#: Spread of a statistic's logarithm that is assumed at least.
MIN_SPREAD = 0.01
#: Share of the fields left out that may lie outside.
MOST_OUTSIDE = 0.02
#: The limit is at least the 99.9 % quantile of such distances of six normal statistics: a new case needs a reserve.
LEAST_LIMIT = 4.74

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Appearances:
    """Logarithms of the statistics of fields and slides, and the case or scanner of each."""

    logs: _Array  # (n, statistics)
    groups: tuple[str, ...]

    def of(self, groups: Iterable[str]) -> Appearances:
        """Those of some cases and scanners."""
        wanted = set(groups)
        kept = [index for index, group in enumerate(self.groups) if group in wanted]
        return Appearances(self.logs[kept], tuple(self.groups[index] for index in kept))


def fit_domain(fields: Iterable[LabelledField], *, mpp: float) -> Domain | None:
    """The domain of labelled fields and cut-out figures, at a model's mpp; None where there are too few cases.

    Its limit is the distance beyond which MOST_OUTSIDE of the fields lie if each case and each scanner is left out in
    turn, or LEAST_LIMIT if that is greater.
    """
    found = measure_fields(fields, mpp=mpp)
    if len(set(found.groups)) < MIN_GROUPS:
        return None
    limit = LEAST_LIMIT
    if len(set(found.groups)) > MIN_GROUPS:
        limit = max(limit, float(np.quantile(list(distances_left_out(found)), 1 - MOST_OUTSIDE)))
    return domain_of(found, limit=round(limit, 2))


def distances_left_out(found: Appearances) -> _Array:
    """Distance of every field and slide from the domain of the other cases and scanners, (n,)."""
    names, distances = set(found.groups), np.zeros(len(found.groups))
    for name in names:
        domain = domain_of(found.of(names - {name}), limit=LEAST_LIMIT)
        for index, group in enumerate(found.groups):
            if group == name:
                distances[index] = measure_distance(domain, found.logs[index])
    return distances


def domain_of(found: Appearances, *, limit: float) -> Domain:
    """The domain of what was measured, every case and scanner counting alike."""
    groups = [found.of([name]).logs for name in sorted(set(found.groups))]
    means = np.stack([logs.mean(axis=0) for logs in groups])
    within = [np.cov(logs, rowvar=False) for logs in groups if len(logs) >= MIN_VECTORS]
    covariance = np.cov(means, rowvar=False) * (1 + 1 / len(groups)) + (np.mean(within, axis=0) if within else 0.0)
    std = np.sqrt(np.diagonal(covariance) + MIN_SPREAD**2)
    correlation = (1 - SHRINKAGE) * covariance / np.outer(std, std)
    np.fill_diagonal(correlation, 1.0)
    values = np.exp(found.logs)
    rows = (means.mean(axis=0), std, values.min(axis=0), values.max(axis=0))
    mean, spread, lowest, highest = (_rounded(row) for row in rows)
    return Domain(
        tuple(STATISTICS), mean, spread, tuple(_rounded(row) for row in correlation), lowest, highest, limit=limit
    )


def measure_fields(fields: Iterable[LabelledField], *, mpp: float) -> Appearances:
    """Appearance of every field, as a scan would measure it, and of the slides that figures were cut from.

    Slides with less than MIN_FIELDS cut-outs are taken together, as a slide of their scanner.
    """
    found, slides = [], defaultdict(list)
    for one in fields:
        if one.source:
            slides[one.source, one.case].append(one)
        else:
            found.append((one.case, _appearance_of(one.path, one.mpp, mpp)))
    few: dict[str, list[LabelledField]] = defaultdict(list)
    for (source, _), cutouts in slides.items():
        if len(cutouts) >= MIN_FIELDS:
            found.append((source, _appearance_together(cutouts, mpp)))
        else:
            few[source] += cutouts
    found += [(source, _appearance_together(cutouts, mpp)) for source, cutouts in few.items()]
    kept = [(group, values) for group, values in found if values is not None]
    logs = np.log([[values[name] for name in STATISTICS] for _, values in kept])
    return Appearances(logs.reshape(-1, len(STATISTICS)), tuple(group for group, _ in kept))


@lru_cache(maxsize=DECODED_FIELDS)  # The folds of a model share their fields.
def _appearance_of(path: Path, field_mpp: float, mpp: float) -> dict[str, float] | None:
    with open_slide(path, field_mpp) as slide:
        level0 = slide.levels[0]
        frame = plan_frame((level0.height, level0.width), field_mpp, mpp, stride=1)
        grid, tissue = Grid(slide, frame), find_tissue(slide, frame)
        return appearance_of(grid, tissue, read_blocks(grid, sample_blocks(tissue)))


def _appearance_together(cutouts: Sequence[LabelledField], mpp: float) -> dict[str, float] | None:
    return measure_appearance(Block(_rim_of(one, mpp)) for one in cutouts)


def _rim_of(one: LabelledField, mpp: float) -> Pixels:
    """A cut-out at the model's mpp, its figure as glass: it is half figure, which its slide is not."""
    with open_slide(one.path, one.mpp) as slide:
        level0 = slide.levels[0]
        frame = plan_frame((level0.height, level0.width), one.mpp, mpp, stride=1)
        pixels = Grid(slide, frame).read(Box(0, 0, frame.grid_height, frame.grid_width))
    return paint_figures_out(pixels, one.points * one.mpp / mpp, mpp=mpp)


def _rounded(row: _Array) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in row)
