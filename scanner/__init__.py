"""How a slide is scanned: from a patch classifier and a slide to detections, exactly."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scanner.errors import InexactLayerError, ScannerError

if TYPE_CHECKING:
    from scanner.dense import densify
    from scanner.result import ScanResult
    from scanner.scanning import scan
    from scanner.slides import open_slide

__all__ = ["InexactLayerError", "ScanResult", "ScannerError", "densify", "open_slide", "scan"]

#: Loaded on first use: `scanner.dense` must import with torch and numpy alone.
_HOMES = {
    "densify": "scanner.dense",
    "open_slide": "scanner.slides",
    "scan": "scanner.scanning",
    "ScanResult": "scanner.result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scanner' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
