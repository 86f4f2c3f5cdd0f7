"""The circle of a given radius that holds the most places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

#: (n, 2): row and column.
Places = npt.NDArray[np.float64]
Centre = tuple[float, float]

#: Places this close to the line, relative to the radius, are within: those that define a circle lie on it.
ON_LINE = 1e-9
#: Samples across a cell, to measure how much of it a circle covers.
SAMPLES = 4


def best_circle(places: Places, radius: float, taken: Sequence[Centre] = ()) -> Centre | None:
    """Centre of the circle that holds the most places and overlaps none that is taken.

    Every circle can be moved, without losing a place, until some place lies on its line. So for each place the circles
    through it are turned around it once; each other place is within for an arc of that turn.

    Parameters
    ----------
    places : ndarray of shape (n, 2)
    radius : float
    taken : sequence of (float, float)
        Centres of circles of the same radius.

    Returns
    -------
    (float, float) or None
        Of equally good ones that of the first place; None if every place lies where only taken circles reach.
    """
    tree = KDTree(places)
    best, centre = 0, None
    for place in places:
        offsets = places[sorted(tree.query_ball_point(place, 2 * radius * (1 + ON_LINE)))] - place
        if len(offsets) <= best:
            continue  # Cannot beat what is there.
        is_pivot = ~offsets.any(axis=1)
        starts, ends = _arcs(offsets[~is_pivot], radius)
        # Only where an arc begins does the count rise; where a taken circle ends, a turn becomes possible.
        turns = np.concatenate([[0.0], starts, _free_turns(place, radius, taken)])
        counts = is_pivot.sum() + _arcs_at(turns, starts, ends)
        centres = place + radius * np.stack([np.sin(turns), np.cos(turns)], axis=1)
        counts[~_is_free(centres, radius, taken)] = 0
        top = int(counts.argmax())
        if counts[top] > best:
            best, centre = int(counts[top]), (float(centres[top, 0]), float(centres[top, 1]))
    return centre


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


def _is_free(centres: Places, radius: float, taken: Sequence[Centre]) -> npt.NDArray[np.bool_]:
    is_free = np.ones(len(centres), np.bool_)
    for centre in taken:
        is_free &= np.hypot(*(centres - centre).T) >= 2 * radius * (1 - ON_LINE)
    return is_free
