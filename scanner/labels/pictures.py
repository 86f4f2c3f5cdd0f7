"""Label images: a grey value for every pixel, which stands for a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from scanner.errors import SettingsError
from scanner.labels.shapes import Mark
from scanner.labels.targets import NO_CLASS


def read_label_image(
    path: Path, *, shape: tuple[int, int], classes: int, values: Sequence[int] = ()
) -> npt.NDArray[np.uint8]:
    """The class of every pixel.

    Parameters
    ----------
    path : Path
        A picture of one channel, or a palette, as large as its field.
    shape : (int, int)
        Height and width of the field.
    classes : int
        How many there are.
    values : sequence of int
        The value that stands for each class; the class itself if left out. Pixels of other values have no class.

    Returns
    -------
    ndarray of shape `shape`, uint8
        Classes, or NO_CLASS.

    Raises
    ------
    SettingsError
        It is no such picture, or no pixel of it has a class.
    """
    try:
        with Image.open(path) as image:
            read = np.asarray(image if image.mode in {"L", "P", "1", "I;16", "I"} else image.convert("L"))
    except (OSError, UnidentifiedImageError) as error:
        raise SettingsError(f"{path} is not a label image: {error}") from error
    if read.shape != shape:
        raise SettingsError(f"{path} has {read.shape[1]} x {read.shape[0]} px, its field {shape[1]} x {shape[0]}")
    labels = np.full(shape, NO_CLASS, np.uint8)
    for label, value in enumerate(values or range(classes)):
        labels[read == value] = label
    if (labels == NO_CLASS).all():
        found = ", ".join(str(value) for value in np.unique(read)[:8])
        wanted = ", ".join(str(value) for value in values or range(classes))
        raise SettingsError(f"{path} has the values {found}; set label_values to those of the classes (now: {wanted})")
    return labels


def marks_of_labels(labels: npt.NDArray[np.uint8]) -> tuple[Mark, ...]:
    """A mark without outline in the middle of each island of a class but the background."""
    marks: list[Mark] = []
    for kind in np.unique(labels[(labels > 0) & (labels != NO_CLASS)]).tolist():
        islands, count = ndimage.label(labels == kind, structure=np.ones((3, 3)))
        centres = ndimage.center_of_mass(islands > 0, islands, range(1, count + 1))
        marks += [Mark(kind, (float(row), float(col))) for row, col in centres]
    return tuple(marks)
