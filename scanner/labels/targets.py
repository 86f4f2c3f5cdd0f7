"""The target of each output pixel of a crop: figure, background, or ignored where readers did not agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IGNORED = -1
#: Class of a pixel, or of a point, that counts for nothing.
NO_CLASS = 255


def output_centres(outputs: int, *, patch_size: int, stride: int) -> npt.NDArray[np.float64]:
    """Crop rows (and columns) that the outputs of a crop look at: the centre P // 2 of each patch."""
    return np.arange(outputs, dtype=np.float64) * stride + patch_size // 2


def make_targets(
    points: npt.NDArray[np.float64],
    centres: npt.NDArray[np.float64],
    *,
    positive_px: float,
    ignored_px: float,
    kinds: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """The class of the nearest figure within `positive_px` of it, IGNORED up to `ignored_px`, 0 elsewhere.

    Parameters
    ----------
    points : ndarray of shape (N, 2)
        Figures (row, col) in crop pixels; may lie outside the crop.
    centres : ndarray of shape (outputs,)
        Crop rows, and columns, of the outputs.
    kinds : ndarray of shape (N,), int64, optional
        Class of each figure; 1 if left out.

    Returns
    -------
    ndarray of shape (outputs, outputs), int64
    """
    if not len(points):
        return np.zeros((len(centres), len(centres)), dtype=np.int64)
    rows = (centres[:, None] - points[:, 0]) ** 2  # (outputs, N)
    cols = (centres[:, None] - points[:, 1]) ** 2
    squares = rows[:, None] + cols[None]  # (outputs, outputs, N)
    distance = np.sqrt(squares.min(axis=2))  # (outputs, outputs)
    kind = 1 if kinds is None else kinds[squares.argmin(axis=2)]
    return np.where(distance <= positive_px, kind, np.where(distance <= ignored_px, IGNORED, 0))


def sample_classes(
    pixel_classes: npt.NDArray[np.uint8], rows: npt.NDArray[np.float64], cols: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """The class of the pixel that each place lies in, the field mirrored beyond its border; IGNORED for none.

    Parameters
    ----------
    pixel_classes : ndarray of shape (H, W), uint8
        255: none.
    rows, cols : ndarray
        Level-0 pixels of the field, of any one shape, which is that of the result.
    """
    height, width = pixel_classes.shape
    labels = pixel_classes[_mirrored(rows, height), _mirrored(cols, width)].astype(np.int64)
    labels[labels == NO_CLASS] = IGNORED
    return labels


def _mirrored(places: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.intp]:
    """Indices of the nearest pixels, mirrored at the border, the edge not repeated."""
    if size == 1:
        return np.zeros(places.shape, np.intp)
    index = np.rint(places).astype(np.intp) % (2 * size - 2)
    return np.minimum(index, 2 * size - 2 - index)
