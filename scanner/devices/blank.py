"""Tiles of one colour, as scanners leave where there is nothing: no network need run over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scanner.devices.device_queue import FloatMap, Pending, Pixels
from scanner.devices.out_of_memory import Ready, Room


class BlankScores:
    """Scores of tiles of one colour: one patch of each colour is scored, for all its patches are the same."""

    def __init__(self, room: Room, *, seen: int) -> None:
        self._room = room
        self._seen = seen
        #: The score of each mapped class, (K, 1, 1), by colour.
        self._known: dict[tuple[int, ...], FloatMap] = {}

    def of(self, parts: Sequence[Pixels]) -> Pending | None:
        """The scores of tiles that are all of one colour each; None if one is not."""
        colours = [colour_of(pixels) for pixels in parts]
        if not parts or any(colour is None for colour in colours):
            return None
        rows, cols = self._room.size(parts)
        return Ready(np.stack([self._score(pixels).repeat(rows, axis=1).repeat(cols, axis=2) for pixels in parts]))

    def _score(self, pixels: Pixels) -> FloatMap:
        colour = tuple(pixels[0, 0].tolist())
        if colour not in self._known:
            patch = pixels[: self._seen, : self._seen]
            self._known[colour] = self._room.score([patch])[0]
        return self._known[colour]


def colour_of(pixels: Pixels) -> Pixels | None:
    """The colour of all pixels, (3,); None if there are several."""
    first: Pixels = pixels[0, 0]
    # Most tiles differ in their first row: look there before everywhere.
    if (pixels[0] != first).any() or (pixels != first).any():
        return None
    return first
