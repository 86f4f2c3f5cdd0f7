"""Which reader a file is for: it follows from what is in the file or folder; only MIRAX is known by suffix."""

from __future__ import annotations

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
from scanner.slides.metadata.contents import FileContents
from scanner.slides.metadata.resolution import Mpp
from scanner.slides.pixels.protocol import Slide
from scanner.slides.tiff.contents import describe_tiff
from scanner.slides.tiff.pyramid import has_known_compressions
from scanner.slides.tiff.slide import TiffSlide
from scanner.slides.vendor import VendorSlide, describe_vendor, detect_vendor
from scanner.slides.zarr.contents import describe_zarr
from scanner.slides.zarr.slide import ZarrSlide


class FileSlide(Slide, Protocol):
    """A slide as its reader opens it."""

    #: As the file states it, or why it cannot be used: `opening` refuses that, unless the caller passes an mpp.
    file_mpp: Mpp


class Open(Protocol):
    """How a reader is called."""

    def __call__(self, path: Path, /, *, channels: int | None, image: int | None) -> FileSlide:
        """An image of the file, with so many channels, or all that it has (None)."""
        ...


@dataclass(frozen=True)
class Reader:
    """What opens the images of a file, and what lists them."""

    open: Open
    describe: Callable[[Path], FileContents]
    #: Whether it takes a file for one slide, with pictures beside it at most. The caller's mpp is then that image's.
    is_of_one_slide: bool = False


def _of_one_slide(slide_type: Callable[..., FileSlide], describe: Callable[[Path], FileContents]) -> Reader:
    """A reader that knows RGB alone; the slide's own `channels` say whether that is what was asked for."""
    return Reader(lambda path, /, *, channels, image: slide_type(path, image=image), describe, True)  # noqa: ARG005


TIFF = Reader(TiffSlide, describe_tiff)
ZARR = Reader(ZarrSlide, describe_zarr)
OPENSLIDE = _of_one_slide(VendorSlide, describe_vendor)
CZI = _of_one_slide(CziSlide, describe_czi)
FIELD = _of_one_slide(ImageSlide, describe_field)


def choose_reader(path: Path) -> Reader:
    """The reader of a file, or of a folder if that is Zarr's.

    Raises
    ------
    SlideNotFoundError
        There is no such file, or it may not be read.
    UnsupportedSlideError
        No reader knows what is in it.
    DamagedSlideError
        Parts of the slide are missing, or OpenSlide fails while it looks for the format.
    """
    if is_zarr(path):
        return ZARR
    head = _read_head(path)
    _refuse_files_around(path, head)
    vendor = detect_vendor(path)  # First: a MIRAX index begins like a JPEG, an NDPI like a TIFF.
    if head.startswith(TIFF_HEADS) and _is_our_tiff(vendor, head):
        return OPENSLIDE if vendor == "aperio" and not has_known_compressions(path) else TIFF
    if vendor == "dicom":
        refuse_planes(path)
    if vendor == "zeiss":
        return _choose_czi_reader(path)
    if vendor is not None:
        return OPENSLIDE
    if path.suffix.lower() == ".mrxs":  # Alone it is a small JPEG of the slide, not a field.
        raise DamagedSlideError(f"{path}: the folder {path.stem}/ with the slide's data must lie beside it")
    if reader_for(head):
        return FIELD
    raise UnsupportedSlideError(f"{path}: {recognise(head, path) or describe_unknown(head)}")


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


def _refuse_files_around(path: Path, head: bytes) -> None:
    """UnsupportedSlideError if a file beside this one would block its reader, or holds its pixels."""
    if irregular := find_irregular_companion(path, is_dicom(head)):
        raise UnsupportedSlideError(
            f"{path}: {irregular} belongs to the slide but is a pipe or a device, which its reader would wait for; "
            "move it away"
        )
    if head.startswith(TIFF_HEADS) and (reason := pixels_elsewhere(path)):
        raise UnsupportedSlideError(f"{path}: {reason}")


def _is_our_tiff(vendor: str | None, head: bytes) -> bool:
    """Whether a TIFF is one of those that our own reader reads faster than OpenSlide, and with all levels."""
    return vendor in ("aperio", "generic-tiff") or (vendor is None and not is_dicom(head))


def _choose_czi_reader(path: Path) -> Reader:
    """OpenSlide if it opens the file, else Zeiss' own library."""
    try:
        VendorSlide(path).close()
    except DamagedSlideError as error:
        if has_czi_reader():
            return CZI
        raise UnsupportedSlideError(
            f"{path}: OpenSlide does not read this CZI ({str(error).partition('OpenSlide: ')[2]}); {INSTALL}"
        ) from error
    return OPENSLIDE
