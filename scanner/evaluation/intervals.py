"""Bootstrap intervals: what a figure would be, had other cases been drawn.

Groups are resampled with replacement: cases, since the fields of one case resemble each other, or slides or fields
where no cases are known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Interval = tuple[float, float]

#: Resamplings of the groups, and the share of them that an interval holds.
RESAMPLINGS, CONFIDENCE = 2000, 0.95
#: Resamplings whose curves are traced at once: memory is this times the number of detections.
_AT_ONCE = 100


def draw_groups(count: int, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """How often each of `count` groups is in each resampling: (RESAMPLINGS, count), rows add up to `count`."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(count, size=(RESAMPLINGS, count))
    times = np.zeros((RESAMPLINGS, count), np.int64)
    np.add.at(times, (np.arange(RESAMPLINGS)[:, None], draws), 1)
    return times


def interval_of_share(parts: npt.ArrayLike, wholes: npt.ArrayLike, *, seed: int = 0) -> Interval:
    """Interval of the sum of `parts` over the sum of `wholes`, where groups are resampled.

    Parameters
    ----------
    parts, wholes : array_like of shape (G,) or (S, G)
        Of each group: right and all detections for precision, detections and mm2 for a rate. A resampling whose
        wholes are 0 counts as 0. Of S models, each with the same groups, the mean of the S shares is meant.

    Returns
    -------
    (float, float)
        (0, 0) without groups.
    """
    parts, wholes = (np.atleast_2d(np.asarray(values, np.float64)) for values in (parts, wholes))  # (S, G)
    if not parts.size:
        return 0.0, 0.0
    times = draw_groups(parts.shape[1], seed=seed)
    return _quantiles(_divided(times @ parts.T, times @ wholes.T).mean(axis=1))


def interval_of_average_precision(
    scores: FloatArray, is_right: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp], figures: npt.ArrayLike
) -> Interval:
    """Interval of the average precision, where groups are resampled.

    Parameters
    ----------
    scores, is_right, groups : ndarray of shape (N,)
        Of each detection: its score, whether it is right, and the index of its group.
    figures : array_like of shape (G,)
        In each group.
    """
    counts = np.asarray(figures, np.float64)
    if not len(counts):
        return 0.0, 0.0
    times = draw_groups(len(counts))
    parts = np.array_split(times, -(-len(times) // _AT_ONCE))
    return _quantiles(
        np.concatenate([average_precisions(scores, is_right, groups, figures=counts, times=part) for part in parts])
    )


def average_precisions(
    scores: FloatArray,
    is_right: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.intp],
    *,
    figures: FloatArray,
    times: npt.NDArray[np.int64],
) -> FloatArray:
    """The average precision in each resampling: the area under precision over recall, in steps.

    Parameters
    ----------
    scores, is_right, groups, figures
        As in `interval_of_average_precision`.
    times : ndarray of shape (R, G)
        How often each group is there.

    Returns
    -------
    ndarray of shape (R,)
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # The last of equal scores: they pass together.
    weights = times[:, groups[order]]  # (R, N)
    passed = np.cumsum(weights, axis=1)[:, last]
    right = np.cumsum(weights * is_right[order], axis=1)[:, last]  # (R, K)
    recall = _divided(right, (times @ figures)[:, None])
    areas: FloatArray = np.sum(np.diff(recall, axis=1, prepend=0.0) * _divided(right, passed), axis=1)
    return areas


def _divided(parts: npt.NDArray[np.generic], wholes: npt.NDArray[np.generic]) -> FloatArray:
    """Parts over wholes; 0 where the whole is 0."""
    quotient: FloatArray = np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes != 0)
    return quotient


def _quantiles(values: FloatArray) -> Interval:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
