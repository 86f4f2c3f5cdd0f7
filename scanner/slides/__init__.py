"""Reading slides: one `Slide` protocol, one reader per kind of file, and the grid a scan reads from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.slides.metadata.contents import FileContents
    from scanner.slides.opening import describe_file, open_slide
    from scanner.slides.pixels.protocol import ImageInfo, ImageKind, Level, Slide

__all__ = ["FileContents", "ImageInfo", "ImageKind", "Level", "Slide", "describe_file", "open_slide"]

#: Loaded on first use: what only looks for slides needs none of the readers.
_HOMES = {
    "FileContents": "scanner.slides.metadata.contents",
    "ImageInfo": "scanner.slides.pixels.protocol",
    "ImageKind": "scanner.slides.pixels.protocol",
    "Level": "scanner.slides.pixels.protocol",
    "Slide": "scanner.slides.pixels.protocol",
    "describe_file": "scanner.slides.opening",
    "open_slide": "scanner.slides.opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scanner.slides' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
