"""The slide of a scan, opened as the model and the settings want it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.card import ModelCard
from scanner.settings import ScanSettings
from scanner.slides import Slide
from scanner.slides.metadata.contents import warn_of_others
from scanner.slides.opening import open_image
from scanner.slides.pixels.protocol import RGB


def open_for(path: str | Path, card: ModelCard, settings: ScanSettings) -> Slide:
    """The slide at that path, with the channels that the model reads."""
    channels = card.normalisation.pixel_channels
    # Three channels that are no red, green and blue are scanned by models of three only if that is wanted.
    wanted = None if settings.any_stain and channels == RGB else channels
    return open_image(Path(path), settings.mpp, channels=wanted, image=settings.image)


@contextmanager
def opened_for(slide: Slide | str | Path, card: ModelCard, settings: ScanSettings) -> Iterator[Slide]:
    """The slide itself, left open for its owner; or the slide at that path, closed in the end."""
    if not isinstance(slide, (str, Path)):
        yield slide
        return
    with open_for(slide, card, settings) as opened:
        if settings.image is None and (warning := warn_of_others(opened)):
            warnings.warn(f"{warning}; pass image=", stacklevel=4)
        yield opened
