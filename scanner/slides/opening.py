"""open_slide and describe_file: the reader follows from what is in a file or folder; only MIRAX is known by suffix."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scanner.errors import DamagedSlideError, SlideNotFoundError, UnsupportedSlideError
from scanner.files.regular_files import open_regular
from scanner.slides.czi.slide import INSTALL, CziSlide, describe_czi, has_czi_reader
from scanner.slides.dicom.planes import refuse_planes
from scanner.slides.files.companions import find_irregular_companion
from scanner.slides.files.magic import TIFF_HEADS, describe_unknown
from scanner.slides.files.unread import HEAD_BYTES, is_dicom, pixels_elsewhere, recognise
from scanner.slides.files.zarr_folder import is_zarr
from scanner.slides.image import ImageSlide, describe_field, reader_for
from scanner.slides.metadata.contents import FileContents, warn_of_others
from scanner.slides.metadata.resolution import POSSIBLE_MPP, check_override
from scanner.slides.pixels.protocol import RGB, Slide
from scanner.slides.tiff.contents import describe_tiff
from scanner.slides.tiff.page import UnsupportedCompressionError
from scanner.slides.tiff.slide import TiffSlide
from scanner.slides.vendor import VendorSlide, describe_vendor, detect_vendor
from scanner.slides.zarr.contents import describe_zarr
from scanner.slides.zarr.slide import ZarrSlide

#: What OpenSlide knows too, but our own reader reads faster and with all levels.
_OUR_TIFFS = (None, "aperio", "generic-tiff")


def open_slide(
    path: str | os.PathLike[str], mpp: float | None = None, *, channels: int | None = RGB, image: int | None = None
) -> Slide:
    """The slide, or plain field, in a file; or in a folder, if that is Zarr's.

    Parameters
    ----------
    path : path
        Of a slide or a plain field; its suffix does not matter, but for MIRAX. Of a slide in several files the one that
        leads to the others: the .mrxs beside its folder, any file of a DICOM series.
    mpp : float, optional
        Micrometres per level-0 pixel, where the file does not say or is wrong. It wins over the file.
    channels : int, optional
        What a pixel shall hold: 3, red, green and blue, whatever the file has of a brightfield slide; or so many
        channels of the file, in its order, which only TIFF, OME-TIFF and Zarr have. None: RGB if the file has that,
        else its channels.
    image : int, optional
        Index of an image of the file; if left out the first that is no overview, with a warning if there are others.

    Raises
    ------
    SlideNotFoundError
        There is no such file, or it may not be read.
    UnsupportedSlideError
        No reader knows what is in the file, or its channels are others than were asked for.
    DamagedSlideError
        The file is broken as a whole.
    ResolutionError
        A slide does not state a plausible mpp. (A plain field may be silent: its `mpp` is then None.)
    SettingsError
        `mpp` is impossible, or the file has no such image (ImageNotFoundError).

    Examples
    --------
    >>> from scanner import open_slide
    >>> with open_slide("examples/CMU-1-Small-Region.svs") as slide:
    ...     print(slide.mpp, slide.mpp_source, len(slide.levels))
    ...     slide.read(0, (100, 200, 164, 296)).shape  # Rows 100 to 163, columns 200 to 295 of level 0.
    0.499 aperio description 1
    (64, 96, 3)
    """
    slide = open_image(Path(path), mpp, channels=channels, image=image)
    try:
        if image is None and (warning := warn_of_others(slide)):
            warnings.warn(f"{warning}; pass image=", stacklevel=2)
    except UserWarning:  # Where warnings are errors.
        slide.close()
        raise
    return slide


def open_image(path: Path, mpp: float | None = None, *, channels: int | None = RGB, image: int | None = None) -> Slide:
    """As `open_slide`, for callers that say themselves which other images a file has."""
    check_override(mpp)
    if channels is not None:
        return _open(path, mpp, channels, image)
    try:
        return _open(path, mpp, RGB, image)
    except UnsupportedSlideError:
        return _open(path, mpp, None, image)


def describe_file(path: str | os.PathLike[str]) -> FileContents:
    """What is in a file: all its images, and what of it was left out.

    Parameters
    ----------
    path : path
        As for `open_slide`.

    Raises
    ------
    SlideError
        As `open_slide` does, but for what concerns one image only: that is its `problem`.

    Examples
    --------
    >>> from scanner.slides import describe_file
    >>> contents = describe_file("examples/CMU-1-Small-Region.svs")
    >>> [(image.index, image.name, image.kind.value) for image in contents.images]
    [(0, '', 'image'), (1, 'thumbnail', 'overview'), (2, 'label', 'overview'), (3, 'macro', 'overview')]
    """
    path = Path(path)
    return _reader_of(path).describe(path)


def expect_channels(slide: Slide, channels: int) -> None:
    """UnsupportedSlideError if the slide's pixels hold others than so many channels."""
    if slide.channels != channels:
        raise UnsupportedSlideError(
            f"{slide.path}: {slide.channels} channels, but {channels} are needed; TIFF, OME-TIFF and Zarr can hold any "
            "number"
        )


def _open(path: Path, mpp: float | None, channels: int | None, image: int | None) -> Slide:
    reader = _reader_of(path)
    slide = reader.open(path, mpp, channels=channels, image=image)
    try:
        if channels is not None:
            expect_channels(slide, channels)
    except UnsupportedSlideError:
        slide.close()
        raise
    return slide


class _Open(Protocol):
    def __call__(self, path: Path, mpp: float | None, /, *, channels: int | None, image: int | None) -> Slide: ...


@dataclass(frozen=True)
class _Reader:
    """What reads a file, and what says what is in it."""

    open: _Open
    describe: Callable[[Path], FileContents]


def _of_colours(reader: Callable[..., Slide]) -> _Open:
    """How a reader that knows RGB alone is called: what else was asked for is found out from the slide."""
    return lambda path, mpp, /, *, channels, image: reader(path, mpp, image=image)  # noqa: ARG005


def _open_aperio(path: Path, mpp: float | None, /, *, channels: int | None, image: int | None) -> Slide:
    try:
        return TiffSlide(path, mpp, channels=channels, image=image)
    except UnsupportedCompressionError:
        return VendorSlide(path, mpp, image=image)


def _describe_aperio(path: Path) -> FileContents:
    with _open_aperio(path, POSSIBLE_MPP[1], channels=None, image=None) as slide:
        is_ours = isinstance(slide, TiffSlide)
    return describe_tiff(path) if is_ours else describe_vendor(path)


_TIFF = _Reader(TiffSlide, describe_tiff)
_APERIO = _Reader(_open_aperio, _describe_aperio)
_ZARR = _Reader(ZarrSlide, describe_zarr)
_VENDOR = _Reader(_of_colours(VendorSlide), describe_vendor)
_CZI = _Reader(_of_colours(CziSlide), describe_czi)
_FIELD = _Reader(_of_colours(ImageSlide), describe_field)


def _reader_of(path: Path) -> _Reader:
    if is_zarr(path):
        return _ZARR
    head = _read_head(path)
    if in_the_way := find_irregular_companion(path, is_dicom(head)):
        raise UnsupportedSlideError(
            f"{path}: {in_the_way} lies with its files, and is no file: its reader would wait for it; move it away"
        )
    is_tiff = head.startswith(TIFF_HEADS)
    if is_tiff and (reason := pixels_elsewhere(path)):
        raise UnsupportedSlideError(f"{path}: {reason}")
    # OpenSlide first: a MIRAX index begins like a JPEG, an NDPI like a TIFF.
    vendor = detect_vendor(path)
    if is_tiff and vendor in _OUR_TIFFS and not (vendor is None and is_dicom(head)):
        return _APERIO if vendor == "aperio" else _TIFF
    if vendor == "dicom":
        refuse_planes(path)
    if vendor == "zeiss":
        return _czi_reader_of(path)
    if vendor is not None:
        return _VENDOR
    if path.suffix.lower() == ".mrxs":  # Alone it is a small JPEG of the slide, not a field.
        raise DamagedSlideError(f"{path}: the folder {path.stem}/ with the slide's data must lie beside it")
    if reader_for(head):
        return _FIELD
    raise UnsupportedSlideError(f"{path}: {recognise(head, path) or describe_unknown(head)}")


def _czi_reader_of(path: Path) -> _Reader:
    """OpenSlide if it can, else Zeiss' own reader."""
    try:
        VendorSlide(path, POSSIBLE_MPP[1]).close()
    except DamagedSlideError as error:
        if has_czi_reader():
            return _CZI
        raise UnsupportedSlideError(
            f"{path}: OpenSlide does not read this CZI ({str(error).partition('OpenSlide: ')[2]}); {INSTALL}"
        ) from error
    return _VENDOR


def _read_head(path: Path) -> bytes:
    """The first bytes of a file that is there."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # A folder that may not be read is named for that.
            raise UnsupportedSlideError(f"{path}: a folder, not a slide")
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise SlideNotFoundError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise DamagedSlideError(f"{path}: {error.strerror}") from error
    if not head:
        raise UnsupportedSlideError(f"{path}: the file is empty")
    return head
