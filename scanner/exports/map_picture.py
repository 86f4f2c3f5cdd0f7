"""The probability map in colour, to be laid over the slide: transparent where nothing was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scanner.exports.ome_tiff import bytes_from_probabilities
from scanner.files.atomic import write_picture
from scanner.geometry.frames import Box, Frame
from scanner.maps.smoothing import ReadMap

Levels = npt.NDArray[np.uint8]
Colours = npt.NDArray[np.uint8]

#: Longest side of `map.png`, in pixels.
MAP_PICTURE_PX = 2048
#: Map pixels pooled at once.
BAND_PX = 2**21
#: Probability, then red, green, blue and opacity between 0 and 255. Greens and blues do not occur in an H&E stain, but
#: mark glass and ink; so the map goes from yellow to a red that no eosin reaches.
COLOUR_STOPS = (
    (0.00, 255, 240, 80, 0),
    (0.05, 255, 240, 80, 0),
    (0.15, 255, 225, 40, 70),
    (0.50, 255, 140, 0, 115),
    (1.00, 215, 0, 20, 165),
)


def write_map_picture(path: Path, read: ReadMap, frame: Frame) -> None:
    """Write `map.png`: RGBA, covering exactly the slide, its longest side at most MAP_PICTURE_PX.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Box within the map, in map px -> ndarray of shape (h, w), float32, between 0 and 1.
    frame : Frame
        Of the map.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    slide_um = np.array([frame.level0_height, frame.level0_width]) * frame.level0_mpp
    px_um = max(frame.map_mpp, float(slide_um.max()) / MAP_PICTURE_PX)
    height, width = np.ceil(slide_um / px_um - 1e-6).astype(int).tolist()
    picture = Image.fromarray(colours_from_levels(pool_map(read, frame, (height, width), px_um=px_um)))
    write_picture(path, picture)


def pool_map(read: ReadMap, frame: Frame, shape: tuple[int, int], *, px_um: float) -> Levels:
    """The highest probability within each pixel of a picture of the slide, in steps of 1 / 255.

    Parameters
    ----------
    read : callable
        Box within the map, in map px -> ndarray of shape (h, w), float32.
    frame : Frame
        Of the map.
    shape : (int, int)
        Height and width of the picture, which starts at the slide's top left.
    px_um : float
        Micrometres per pixel of the picture; where they are smaller than map pixels, these are repeated.

    Returns
    -------
    ndarray of shape `shape`, uint8
    """
    rows = _first_of_each(shape[0], px_um / frame.map_mpp, frame.map_height)
    cols = _first_of_each(shape[1], px_um / frame.map_mpp, frame.map_width)
    pooled = np.zeros(shape, np.uint8)
    band_rows = max(1, BAND_PX * shape[0] // (frame.map_height * frame.map_width))
    for top in range(0, shape[0], band_rows):
        starts = rows[top : top + band_rows + 1]
        bottom = int(starts[-1]) if len(starts) > band_rows else frame.map_height
        starts = starts[:band_rows]
        band = read(Box(int(starts[0]), 0, max(bottom, int(starts[-1]) + 1), frame.map_width))
        levels = np.maximum.reduceat(bytes_from_probabilities(band), starts - starts[0], axis=0)
        pooled[top : top + band_rows] = np.maximum.reduceat(levels, cols, axis=1)
    return pooled


def colours_from_levels(levels: Levels) -> Colours:
    """Probabilities in steps of 1 / 255 as red, green, blue and opacity: (...) -> (..., 4)."""
    stops = np.array(COLOUR_STOPS)
    table = [np.interp(np.arange(256) / 255, stops[:, 0], stops[:, channel]) for channel in range(1, 5)]
    colours = np.ascontiguousarray(np.stack(table, axis=-1).round().astype(np.uint8))
    # Looked up as one number each: several times as fast as four bytes.
    return colours.view(np.uint32)[:, 0][levels][..., None].view(np.uint8)


def _first_of_each(count: int, step: float, length: int) -> npt.NDArray[np.intp]:
    """Index of the first of `length` map px that lies in each of `count` picture px of `step` map px."""
    # Not less than the last: reduceat then takes the pixel at the index alone, which repeats it.
    firsts: npt.NDArray[np.intp] = np.minimum(np.arange(count) * step, length - 1).astype(np.intp)
    return firsts
