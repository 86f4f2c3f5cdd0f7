"""How good a segmentation is: pixel error, and the Rand score of the segments that its borders enclose.

The Rand score is that on which the organisers of the ISBI 2012 contest settled (Arganda-Carreras et al. 2015,
Frontiers in Neuroanatomy 9:142): foreground-restricted, after border thinning. Segments are what the border class
encloses, joined along edges; the borders of the proposal are thinned by flooding until they are one pixel wide, so that
how wide a border is drawn does not count; pixels on the borders of the truth do not count; a foreground pixel that the
proposal still calls border is a segment of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
Segments = npt.NDArray[np.int32]

#: Scores of segments that differ by less are taken as equal.
SPREAD = 0.03


@dataclass(frozen=True)
class RandScore:
    """Foreground-restricted Rand score: how well pairs of pixels that belong together are kept together."""

    #: Of the pairs within a segment of the proposal, those that belong together: low where segments are merged.
    precision: float
    #: Of the pairs that belong together, those within a segment of the proposal: low where segments are split.
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of both: V_rand."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def pixel_error(proposed: npt.NDArray[np.generic], truth: npt.NDArray[np.generic]) -> float:
    """Share of the pixels whose class is wrong."""
    return float((proposed != truth).mean())


def find_segments(is_border: Mask) -> Segments:
    """Segments that a border encloses, joined along edges, from 1; 0 is border."""
    segments: Segments = ndimage.label(~is_border)[0]
    return segments


def thin_borders(segments: Segments) -> Segments:
    """Segments grown into the border until it is one pixel wide, nearest first."""
    from skimage.segmentation import watershed

    if not (segments == 0).any() or not segments.any():
        return segments
    distance = ndimage.distance_transform_edt(segments == 0)
    thinned: Segments = watershed(distance, markers=segments, watershed_line=True)  # type: ignore[no-untyped-call]
    return thinned


def rand_score(proposed: Segments, truth: Segments) -> RandScore:
    """Score of proposed segments, on the foreground of the truth.

    Parameters
    ----------
    proposed, truth : ndarray of shape (H, W), int32
        Segments from 1; 0 is border.

    Returns
    -------
    RandScore
        0 and 0 if the truth has no foreground.
    """
    from skimage.metrics import contingency_table

    if not truth.any():
        return RandScore(0.0, 0.0)
    on_border = proposed == 0
    apart = proposed.astype(np.int64)
    apart[on_border] = apart.max() + 1 + np.arange(on_border.sum())  # Each a segment of one pixel.
    # Not `adapted_rand_error`: it leaves the pair of a pixel with itself out, which the contest counts.
    overlaps = contingency_table(truth, apart, ignore_labels=(0,), normalize=False, sparse_type="array")  # type: ignore[no-untyped-call]
    together, of_truth, of_proposed = (
        float((sizes**2).sum()) for sizes in (overlaps.data, overlaps.sum(axis=1), overlaps.sum(axis=0))
    )
    return RandScore(together / of_proposed, together / of_truth)


def score_borders(is_border: Mask, is_true_border: Mask) -> RandScore:
    """The contest's score of proposed borders, thinned, against true ones."""
    return rand_score(thin_borders(find_segments(is_border)), find_segments(is_true_border))


def border_threshold(
    maps: Iterable[tuple[npt.NDArray[np.float32], Mask]], *, thresholds: Sequence[float], by_segments: bool
) -> float:
    """The threshold of the least pixel error, or of the segments that score best; means over the fields.

    Segments score in steps, one for each gap that opens or closes, and a few fields have few of them: so not the best
    threshold is taken but the middle of those around it that score at most SPREAD less.

    Parameters
    ----------
    maps : iterable of (ndarray, ndarray)
        Probability of the border class and true borders, (H, W) each, of fields that were not trained on.
    thresholds : sequence of float
        To choose from, rising.
    by_segments : bool
    """
    pairs = list(maps)

    if not by_segments:
        errors = [np.mean([pixel_error(values >= level, truth) for values, truth in pairs]) for level in thresholds]
        return thresholds[int(np.argmin(errors))]
    scores = [np.mean([score_borders(values >= level, truth).f1 for values, truth in pairs]) for level in thresholds]
    low = high = int(np.argmax(scores))
    least = scores[low] - SPREAD
    while low > 0 and scores[low - 1] >= least:
        low -= 1
    while high + 1 < len(scores) and scores[high + 1] >= least:
        high += 1
    return (thresholds[low] + thresholds[high]) / 2
