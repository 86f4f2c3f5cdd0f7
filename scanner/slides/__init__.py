"""Reading slides: one `Slide` protocol, one reader per kind of file, and the grid a scan reads from."""

from scanner.slides.opening import open_slide
from scanner.slides.protocol import Level, Slide

__all__ = ["Level", "Slide", "open_slide"]
