"""Tiles of one colour, as scanners leave where there is nothing: no network need run over them."""

from __future__ import annotations

from scanner.devices.device_queue import Pixels


def colour_of(pixels: Pixels) -> Pixels | None:
    """The colour of all pixels, (3,); None if there are several."""
    first: Pixels = pixels[0, 0]
    # Most tiles differ in their first row: look there before the whole tile.
    if (pixels[0] != first).any() or (pixels != first).any():
        return None
    return first
