"""What each output pixel of a crop should say: figure, background, or nothing because readers could not agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IGNORED = -1


def output_centres(outputs: int, *, patch_size: int, stride: int) -> npt.NDArray[np.float64]:
    """Crop rows (and columns) that the outputs of a crop look at: the centre P // 2 of each patch."""
    return np.arange(outputs, dtype=np.float64) * stride + patch_size // 2


def make_targets(
    points: npt.NDArray[np.float64],
    centres: npt.NDArray[np.float64],
    *,
    positive_px: float,
    ignored_px: float,
) -> npt.NDArray[np.int64]:
    """1 within `positive_px` of a figure, IGNORED up to `ignored_px`, 0 elsewhere.

    Parameters
    ----------
    points : ndarray of shape (N, 2)
        Figures (row, col) in crop pixels; may lie outside the crop.
    centres : ndarray of shape (outputs,)
        Crop rows, and columns, of the outputs.

    Returns
    -------
    ndarray of shape (outputs, outputs), int64
    """
    if not len(points):
        return np.zeros((len(centres), len(centres)), dtype=np.int64)
    rows = (centres[:, None] - points[:, 0]) ** 2  # (outputs, N)
    cols = (centres[:, None] - points[:, 1]) ** 2
    distance = np.sqrt((rows[:, None] + cols[None]).min(axis=2))  # (outputs, outputs)
    return np.where(distance <= positive_px, 1, np.where(distance <= ignored_px, IGNORED, 0))
