"""The circle of a given radius that holds the most places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.spatial import KDTree

#: (n, 2): row and column.
Places = npt.NDArray[np.float64]
Centre = tuple[float, float]

#: Places this close to the line, relative to the radius, are within: those that define a circle lie on it.
ON_LINE = 1e-9
#: How often the lattice of centres is halved at most, and the cells at which that ends.
_HALVINGS, _MOST_CELLS = 16, 20_000
#: Samples across a cell, to measure how much of it a circle covers.
SAMPLES = 4


def best_circle(places: Places, radius: float, taken: Sequence[Centre] = ()) -> Centre | None:
    """Centre of a circle that holds the most places and overlaps none that is taken.

    Centres are narrowed down on a lattice that is halved again and again: what lies within the radius and half a
    cell's diagonal of its middle bounds every circle centred in that cell. Among the cells that are left the search is
    exact: every circle can be moved, without losing a place, until some place lies on its line; so for each place the
    circles through it are turned around it once, and each other place is within for an arc of that turn.

    Parameters
    ----------
    places : ndarray of shape (n, 2)
    radius : float
    taken : sequence of (float, float)
        Centres of circles of the same radius.

    Returns
    -------
    (float, float) or None
        The same for the same places in the same order; None if every place lies where only taken circles reach.
    """
    from scipy.spatial import KDTree  # Here: it takes a quarter of a second, and squares need none of it.

    tree = KDTree(places)
    best, centre, cells, side = _narrow_down(tree, radius, taken)
    if not len(cells):
        return centre
    # Only those around which the circle passes through some cell that is left.
    reach = side / np.sqrt(2) + radius * ON_LINE
    within, near = (_count(KDTree(cells), places, radius + sign * reach) for sign in (-1, 1))
    for place in places[near > within]:
        counts, centres = _turn_around(place, tree, radius, taken)
        top = int(counts.argmax())
        if counts[top] > best:
            best, centre = int(counts[top]), (float(centres[top, 0]), float(centres[top, 1]))
    return centre


def _narrow_down(tree: KDTree, radius: float, taken: Sequence[Centre]) -> tuple[int, Centre | None, Places, float]:
    """The best count at a cell's middle, that middle, the middles of cells that may hold better, and their side."""
    side = radius / 2
    axes = (
        np.arange(low - radius, high + radius + side, side) for low, high in zip(tree.mins, tree.maxes, strict=True)
    )
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)  # (n, 2)
    best, centre = 0, None
    for _ in range(_HALVINGS):
        reach = side / np.sqrt(2)
        counts = np.where(_is_free(cells, radius, taken), _count(tree, cells, radius), 0)
        if len(counts) and counts.max() > best:
            top = int(counts.argmax())
            best, centre = int(counts[top]), (float(cells[top, 0]), float(cells[top, 1]))
        may_be_free = _is_free(cells, radius, taken, slack=reach)
        cells = cells[may_be_free & (_count(tree, cells, radius + reach) > best)]
        if len(cells) > _MOST_CELLS or not len(cells):
            break
        corners = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * side / 4
        cells, side = (cells[:, None] + corners).reshape(-1, 2), side / 2
    return best, centre, cells, side


def _count(tree: KDTree, centres: Places, radius: float) -> npt.NDArray[np.int64]:
    if not len(centres):
        return np.zeros(0, np.int64)
    return np.asarray(tree.query_ball_point(centres, radius * (1 + ON_LINE), return_length=True), np.int64)


def _turn_around(
    place: npt.NDArray[np.float64], tree: KDTree, radius: float, taken: Sequence[Centre]
) -> tuple[npt.NDArray[np.int64], Places]:
    """Circles through a place: how many places each of those holds that may hold the most, and their centres."""
    offsets = tree.data[sorted(tree.query_ball_point(place, 2 * radius * (1 + ON_LINE)))] - place
    is_pivot = ~offsets.any(axis=1)
    starts, ends = _arcs(offsets[~is_pivot], radius)
    # Only where an arc begins does the count rise; where a taken circle ends, a turn becomes possible.
    turns = np.concatenate([[0.0], starts, _free_turns(place, radius, taken)])
    centres = place + radius * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    counts = is_pivot.sum() + _arcs_at(turns, starts, ends)
    return np.where(_is_free(centres, radius, taken), counts, 0), centres


def within_circle(places: Places, centre: Centre, radius: float) -> npt.NDArray[np.bool_]:
    """Which places a circle holds, those on its line included; (n,)."""
    is_within: npt.NDArray[np.bool_] = np.hypot(*(places - centre).T) <= radius * (1 + ON_LINE)
    return is_within


def areas_within_circle(
    rows: npt.NDArray[np.float64], cols: npt.NDArray[np.float64], centre: Centre, radius: float
) -> npt.NDArray[np.float64]:
    """How much of every cell between the edges `rows` and `cols` a circle covers, sampled SAMPLES times; (h, w)."""
    samples = (np.arange(SAMPLES) + 0.5) / SAMPLES
    down, across = (
        (edges[:-1, None] + np.diff(edges)[:, None] * samples).ravel() - middle
        for edges, middle in zip((rows, cols), centre, strict=True)
    )
    is_within = down[:, None] ** 2 + across**2 <= radius**2
    shares = is_within.reshape(len(rows) - 1, SAMPLES, len(cols) - 1, SAMPLES).mean(axis=(1, 3))
    areas: npt.NDArray[np.float64] = shares * np.diff(rows)[:, None] * np.diff(cols)
    return areas


def _arcs(offsets: Places, radius: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Start and end, in radians, of the turns in which each offset lies within the circle; starts in [0, 2 pi)."""
    middle = np.arctan2(offsets[:, 0], offsets[:, 1])
    half = np.arccos(np.minimum(np.hypot(*offsets.T) / (2 * radius), 1)) + ON_LINE
    starts = (middle - half) % (2 * np.pi)
    return starts, starts + 2 * half


def _arcs_at(
    turns: npt.NDArray[np.float64], starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """How many arcs hold each turn."""
    # Arcs that run beyond a full turn hold its beginning as well.
    starts = np.sort(np.concatenate([starts, starts - 2 * np.pi]))
    ends = np.sort(np.concatenate([ends, ends - 2 * np.pi]))
    counts: npt.NDArray[np.intp] = np.searchsorted(starts, turns, "right") - np.searchsorted(ends, turns, "left")
    return counts


def _free_turns(place: npt.NDArray[np.float64], radius: float, taken: Sequence[Centre]) -> npt.NDArray[np.float64]:
    """Turns at which the circle through `place` touches a taken one from outside."""
    turns = []
    for centre in taken:
        offset = np.asarray(centre) - place
        distance = float(np.hypot(*offset))
        # |place + radius * u - centre| = 2 * radius
        cosine = (distance**2 - 3 * radius**2) / (2 * radius * distance) if distance > 0 else 2.0
        if abs(cosine) <= 1:
            half, middle = float(np.arccos(cosine)), float(np.arctan2(offset[0], offset[1]))
            turns += [middle - half - ON_LINE, middle + half + ON_LINE]
    return np.array(turns, dtype=np.float64) % (2 * np.pi)


def _is_free(centres: Places, radius: float, taken: Sequence[Centre], *, slack: float = 0.0) -> npt.NDArray[np.bool_]:
    """Which centres are those of circles that overlap no taken one, if they may move by `slack`."""
    is_free = np.ones(len(centres), np.bool_)
    for centre in taken:
        is_free &= np.hypot(*(centres - centre).T) >= 2 * radius * (1 - ON_LINE) - slack
    return is_free
