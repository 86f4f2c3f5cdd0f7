"""Outlines that people draw: where one meets itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Corners of an outline, in whole units: (n, 2).
Corners = npt.NDArray[np.int64]
#: Largest coordinate: up to here, products of two sides are exact.
LARGEST = 10**9


def find_crossing(corners: Corners) -> tuple[int, int] | None:
    """The first two sides of a closed line that meet where they should not; None if it is simple.

    Sides meet if they cross, touch or overlap; neighbours may share their corner, and nothing else. Every pair is
    compared: a thousand corners take 0.1 s and 100 MB.

    Parameters
    ----------
    corners : ndarray of shape (n, 2), int64
        From 0 to LARGEST. The last is joined to the first; no two in a row are the same.

    Returns
    -------
    (int, int) or None
        Numbers of the sides, from 0; side i begins at corner i.
    """
    count = len(corners)
    starts, ends = corners, np.roll(corners, -1, axis=0)
    sides = ends - starts
    # Which side of the line through side i the start of side j lies on, -1 to 1: (n, n)
    of_starts = np.sign(_cross(sides[:, None], starts[None] - starts[:, None]))
    divides = of_starts * np.roll(of_starts, -1, axis=1) <= 0
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    overlap = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(axis=2)
    meets = divides & divides.T & overlap
    index = np.arange(count)
    meets[index, index] = False
    # Neighbours meet at their corner in any case: what counts is whether the second one turns back upon the first.
    following = np.roll(sides, -1, axis=0)
    turns_back = (_cross(sides, following) == 0) & ((sides * following).sum(axis=1) < 0)
    meets[index, (index + 1) % count] = meets[(index + 1) % count, index] = turns_back
    found = np.argwhere(np.triu(meets))
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def is_straight(corners: Corners) -> bool:
    """Whether all corners, of which the first two differ, lie on one line."""
    offsets = corners - corners[0]
    return not _cross(offsets[1], offsets).any()


def _cross(first: Corners, second: Corners) -> Corners:
    """Which way `second` turns from `first`: positive for a turn to the right, where y runs downwards."""
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
