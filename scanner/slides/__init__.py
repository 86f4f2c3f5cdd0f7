"""Reading slides: one `Slide` protocol, one reader per kind of file, and the grid a scan reads from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.slides.opening import open_slide
    from scanner.slides.protocol import Level, Slide

__all__ = ["Level", "Slide", "open_slide"]

#: Loaded on first use: what only looks for slides needs none of the readers.
_HOMES = {
    "Level": "scanner.slides.protocol",
    "Slide": "scanner.slides.protocol",
    "open_slide": "scanner.slides.opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scanner.slides' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
