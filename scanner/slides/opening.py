"""Open a slide, or list what its file holds: which reader, which image and levels, which mpp; each asked once."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

from scanner.errors import SlideError, UnsupportedSlideError
from scanner.slides.metadata.contents import FileContents, warn_of_others
from scanner.slides.metadata.resolution import check_override, use_mpp
from scanner.slides.pixels.protocol import RGB, Slide
from scanner.slides.readers import FileSlide, Reader, choose_reader


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
    reader = choose_reader(path)
    if channels is not None:
        return open_with(reader, path, mpp, channels=channels, image=image)
    try:
        return open_with(reader, path, mpp, channels=RGB, image=image)
    except UnsupportedSlideError:
        return open_with(reader, path, mpp, image=image)


def open_with(
    reader: Reader, path: Path, mpp: float | None = None, *, channels: int | None = None, image: int | None = None
) -> Slide:
    """The slide as that reader opens it: its image with the levels, then its mpp, then its channels."""
    slide = reader.open(path, channels=channels, image=image)
    try:
        slide.mpp, slide.mpp_source = use_mpp(path, slide.file_mpp, mpp)
        if mpp is not None and reader.is_of_one_slide:
            _note_override(slide)
        if channels is not None:
            expect_channels(slide, channels)
    except SlideError:
        slide.close()
        raise
    return slide


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
    return choose_reader(path).describe(path)


def expect_channels(slide: Slide, channels: int) -> None:
    """UnsupportedSlideError if the slide's pixels hold others than so many channels."""
    if slide.channels != channels:
        raise UnsupportedSlideError(
            f"{slide.path}: {slide.channels} channels, but {channels} are needed; TIFF, OME-TIFF and Zarr can hold any "
            "number"
        )


def _note_override(slide: FileSlide) -> None:
    """Put the caller's mpp into the list of images too, where the file is one slide."""
    slide.image = replace(slide.image, mpp=slide.mpp, mpp_source=slide.mpp_source, problem="")
    slide.images = (slide.image, *slide.images[1:])
