"""Every kind of pixel a brightfield file may hold -> RGB of 8 bits; and what other channels are shown as."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.slides.pixels.protocol import RGB, WHITE, Pixels


def eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Values of 8 or 16 bits -> 8 bits. Of 16 the high byte counts, as in PIL and OpenSlide."""
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    assert values.dtype == np.uint8, values.dtype
    return values


def rgb_from_grey(grey: npt.NDArray[np.uint8]) -> Pixels:
    """Grey (h, w) -> RGB (h, w, 3)."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def shown_as_rgb(pixels: Pixels) -> Pixels:
    """Pixels (h, w, channels) as pictures show them, (h, w, 3): the first three channels, as red, green and blue."""
    missing = RGB - pixels.shape[2]
    if missing <= 0:
        return pixels[:, :, :RGB]
    return np.pad(pixels, ((0, 0), (0, 0), (0, missing)))


def composite(rgba: npt.NDArray[np.uint8], background: tuple[int, int, int] = (WHITE, WHITE, WHITE)) -> Pixels:
    """RGBA (h, w, 4), alpha not multiplied in, seen before `background` -> RGB (h, w, 3)."""
    alpha = rgba[:, :, 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[:, :, :3])
    alpha = alpha.astype(np.uint32)
    veiled = rgba[:, :, :3] * alpha + np.asarray(background, np.uint32) * (255 - alpha)
    return ((veiled + 127) // 255).astype(np.uint8)


def composite_where_premultiplied(rgba: npt.NDArray[np.uint8]) -> Pixels:
    """RGBA (h, w, 4) whose fourth sample nobody explains -> RGB (h, w, 3).

    It is opacity where no colour is above it, as with alpha multiplied in; other pixels stay as they are.
    """
    may_be_alpha = rgba[:, :, :3].max(axis=2, initial=0) <= rgba[:, :, 3]
    return np.where(may_be_alpha[:, :, None], composite_premultiplied(rgba), rgba[:, :, :3])


def composite_premultiplied(rgba: npt.NDArray[np.uint8]) -> Pixels:
    """RGBA (h, w, 4) with alpha already multiplied in, seen before white -> RGB (h, w, 3)."""
    veil = WHITE - rgba[:, :, 3:].astype(np.uint16)
    veiled: npt.NDArray[np.uint16] = np.minimum(rgba[:, :, :3] + veil, WHITE)
    return veiled.astype(np.uint8)
