"""A level's TIFF pages: where their TIFF tiles lie, and how the bytes become RGB, or the channels that they are.

Pages are planned once, from the headers, into plain values. Reading a tile is then one `os.pread` and one call of
tifffile's decoder, which holds no state: threads need no lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, TiffPage

from scanner.errors import DamagedSlideError, UnsupportedSlideError
from scanner.slides.files.compressed import check_declared_size
from scanner.slides.pixels.limits import MAX_SIDE, MAX_TILE_AREA
from scanner.slides.pixels.protocol import RGB, Pixels
from scanner.slides.tiff.colour import ToPixels, plan_colour

#: Rows that are read at once where the pixels lie uncompressed in one run.
BAND_ROWS = 64

COMPRESSIONS = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.JPEG,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.ZSTD,
    COMPRESSION.ZSTD_DEPRECATED,
    COMPRESSION.WEBP,
    COMPRESSION.WEBP_DEPRECATED,
    COMPRESSION.PNG,
    COMPRESSION.JPEGXL,
    COMPRESSION.JPEGXL_DNG,
    COMPRESSION.JPEG2000,
    COMPRESSION.APERIO_JP2000_RGB,
}


@dataclass(frozen=True)
class TiffLevel:
    """The TIFF tiles of a level; strips are tiles as wide as the level."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    #: Of every tile in raster order, (planes, tiles): where it starts in the file, and its length; 0 = left out. Planes
    #: are those of one page, or the pages of a channel each.
    offsets: npt.NDArray[np.int64]
    byte_counts: npt.NDArray[np.int64]
    #: (bytes, tile index) -> samples of one plane, (h, w, samples).
    decode: Callable[[bytes, int], npt.NDArray[Any]]
    to_pixels: ToPixels
    channels: int = RGB

    def has_bytes(self, row: int, col: int) -> bool:
        """Whether the file holds all of a tile; scanners leave tiles out, and writers lose them."""
        index = self._index(row, col)
        return bool(self.byte_counts[:, index].all() and self.offsets[:, index].all())

    def read_tile(self, descriptor: int, row: int, col: int) -> Pixels:
        """Read and decode one tile.

        Raises whatever the decoder raises, and ValueError if the file ends early or the tile is too small.
        """
        index = self._index(row, col)
        planes = [self._read_plane(descriptor, plane, index) for plane in range(len(self.offsets))]
        samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)  # (h, w, samples)
        needed = (
            min(self.tile_height, self.height - row * self.tile_height),
            min(self.tile_width, self.width - col * self.tile_width),
        )
        if samples.shape[0] < needed[0] or samples.shape[1] < needed[1]:
            raise ValueError(f"decodes to {samples.shape[:2]} px instead of {needed}")
        return self.to_pixels(samples)

    def _index(self, row: int, col: int) -> int:
        return row * -(-self.width // self.tile_width) + col

    def _read_plane(self, descriptor: int, plane: int, index: int) -> npt.NDArray[Any]:
        offset, count = int(self.offsets[plane, index]), int(self.byte_counts[plane, index])
        encoded = os.pread(descriptor, count, offset)
        if len(encoded) != count:
            raise ValueError(f"file ends {count - len(encoded)} bytes early")
        return self.decode(encoded, plane * self.offsets.shape[1] + index)


def plan_level(page: TiffPage, name: str, *, pixels: ElementTree.Element | None = None) -> TiffLevel:
    """Where and how the pixels of `page` are read; `name` begins the message of an error.

    Parameters
    ----------
    page : TiffPage
    name : str
    pixels : Element, optional
        Its <Pixels> in OME-XML.

    Raises
    ------
    UnsupportedSlideError
        The page's kind of pixels or its compression is not one of a brightfield slide.
    DamagedSlideError
        The page's header contradicts itself.
    """
    return _plan_pixels(page, name, plan_colour(page, name, pixels=pixels))


def plan_planes(
    pages: Sequence[TiffPage], name: str, *, order: Sequence[int], pixels: ElementTree.Element | None = None
) -> TiffLevel:
    """Where and how RGB is read of which red, green and blue are pages of their own, at these places.

    Raises
    ------
    UnsupportedSlideError, DamagedSlideError
        As `plan_level` and `plan_stack` do.
    """
    to_pixels = [plan_colour(pages[index], name, pixels=pixels) for index in order]

    def rgb(samples: npt.NDArray[Any]) -> Pixels:
        return np.stack(
            [to_rgb(samples[:, :, index, None])[:, :, 0] for index, to_rgb in zip(order, to_pixels, strict=True)],
            axis=2,
        )

    return replace(_join([_plan_pixels(page, name, np.ascontiguousarray) for page in pages], name), to_pixels=rgb)


def plan_stack(pages: Sequence[TiffPage], name: str) -> TiffLevel:
    """Where and how the pixels of a level of other channels than RGB are read: a page for each, or one with all.

    Raises
    ------
    UnsupportedSlideError
        They are not of 8 bits, or none of the above.
    DamagedSlideError
        The header of a page contradicts itself, or the pages each other.
    """
    for page in pages:
        if page.dtype != np.uint8 or page.bitspersample != 8:
            raise UnsupportedSlideError(
                f"{name}: channels of {page.bitspersample}-bit {page.dtype} are not read; write them as 8 bits, each "
                "channel scaled as it was for training"
            )
        if len(pages) > 1 and page.samplesperpixel > 1:
            raise UnsupportedSlideError(f"{name}: {len(pages)} pages of {page.samplesperpixel} samples each")
    level = _join([_plan_pixels(page, name, np.ascontiguousarray) for page in pages], name)
    return replace(level, channels=len(pages) if len(pages) > 1 else pages[0].samplesperpixel)


def _join(planes: list[TiffLevel], name: str) -> TiffLevel:
    """One level of pages that are its planes."""
    first, tiles = planes[0], planes[0].offsets.shape[1]
    if any((one.tile_height, one.tile_width) != (first.tile_height, first.tile_width) for one in planes):
        raise DamagedSlideError(f"{name}: its channels have TIFF tiles of different sizes")
    return replace(
        first,
        offsets=np.concatenate([one.offsets for one in planes]),
        byte_counts=np.concatenate([one.byte_counts for one in planes]),
        decode=first.decode if len(planes) == 1 else lambda encoded, i: planes[i // tiles].decode(encoded, i % tiles),
    )


def _plan_pixels(page: TiffPage, name: str, to_pixels: ToPixels) -> TiffLevel:
    if page.compression not in COMPRESSIONS:
        raise UnsupportedSlideError(f"{name}: {_refusal(int(page.compression))}")
    height, width = page.imagelength, page.imagewidth
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise DamagedSlideError(f"{name}: {width} x {height} px is not the size of a slide")
    if _is_one_run(page):
        return _plan_bands(page, to_pixels)
    tile_height, tile_width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    if not (tile_height > 0 and tile_width > 0 and tile_height * tile_width <= MAX_TILE_AREA):
        raise DamagedSlideError(f"{name}: TIFF tiles of {tile_width} x {tile_height} px are impossible")
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    tiles = -(-height // tile_height) * -(-width // tile_width)
    if len(page.dataoffsets) != planes * tiles or len(page.databytecounts) != planes * tiles:
        raise DamagedSlideError(f"{name}: {len(page.dataoffsets)} TIFF tiles are listed, {planes * tiles} needed")
    offsets, byte_counts = (
        np.array(values, np.int64).reshape(planes, tiles) for values in (page.dataoffsets, page.databytecounts)
    )
    return TiffLevel(height, width, tile_height, tile_width, offsets, byte_counts, _plan_decode(page), to_pixels)


def _refusal(compression: int) -> str:
    known = compression in {known.value for known in COMPRESSION}
    named = COMPRESSION(compression).name.replace("_", " ") if known else "an unknown one"
    return (
        f"its compression, {named} ({compression}), is not read; write it anew with JPEG, JPEG 2000, JPEG XL, LZW, "
        "deflate, zstd, WebP, PNG or PackBits"
    )


def _plan_decode(page: TiffPage) -> Callable[[bytes, int], npt.NDArray[Any]]:
    decode, tables, header = page.decode, page.jpegtables, page.jpegheader
    compression = page.compression
    max_area = MAX_TILE_AREA if not page.is_tiled else 4 * page.tilelength * page.tilewidth

    def decode_tile(encoded: bytes, index: int) -> npt.NDArray[Any]:
        check_declared_size(encoded, compression, max_area)
        samples: npt.NDArray[Any] | None  # (1, h, w, samples)
        samples = decode(encoded, index, jpegtables=tables, jpegheader=header)[0]
        assert samples is not None, "only no bytes decode to no samples"
        return np.squeeze(samples, axis=0)

    return decode_tile


def _is_one_run(page: TiffPage) -> bool:
    """Whether the page's pixels lie uncompressed, one after the other, in the file."""
    has_all = all(page.dataoffsets) and all(page.databytecounts)
    return bool(
        has_all and not page.is_tiled and page.planarconfig == 1 and page.fillorder == 1 and page.is_memmappable
    )


def _plan_bands(page: TiffPage, to_pixels: ToPixels) -> TiffLevel:
    """Bands of a few rows, whatever the strips: some writers put a whole slide into one."""
    height, width = page.imagelength, page.imagewidth
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    row_bytes = width * page.samplesperpixel * dtype.itemsize
    first_rows = np.arange(0, height, BAND_ROWS, dtype=np.int64)
    rows = np.minimum(BAND_ROWS, height - first_rows)
    offsets = page.dataoffsets[0] + first_rows * row_bytes

    def decode(encoded: bytes, _index: int) -> npt.NDArray[Any]:
        values = np.frombuffer(encoded, dtype).astype(dtype.newbyteorder("="), copy=False)
        return values.reshape(-1, width, page_samples)

    page_samples = page.samplesperpixel
    return TiffLevel(height, width, BAND_ROWS, width, offsets[None], (rows * row_bytes)[None], decode, to_pixels)
