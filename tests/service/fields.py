"""What is scanned, and with which model: pictures that look like stained fields, and a tiny network."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models import Model, ModelCard, save_model
from models.families import build_network


def make_tiny_model(folder: Path) -> None:
    """Save an untrained model `tiny` into a folder of models, the same every time."""
    torch.manual_seed(0)
    arguments = {"stages": [[4, 3], [4, 3]], "patch_size": 21, "hidden": 8}
    card = ModelCard("tiny", "1", "dannet", arguments, patch_size=21, mpp=0.25, stride=4, threshold=0.5)
    save_model(folder / "tiny", Model(card, build_network("dannet", arguments).eval()))


def make_field(seed: int, height: int = 160, width: int = 200, *, noise: float = 8) -> np.ndarray:
    """A stained-looking field: pink noise with dark blots."""
    random = np.random.default_rng(seed)
    pixels = np.array([205, 130, 180]) + noise * random.normal(0, 1, (height, width, 3))
    rows, cols = np.mgrid[:height, :width]
    for row, col in random.uniform(0, 1, (12, 2)) * (height, width):
        blot = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 30)
        pixels -= blot[..., None] * np.array([130, 90, 60])
    return pixels.clip(0, 255).astype(np.uint8)


def make_large_field(seed: int, repeats: int = 13) -> np.ndarray:
    """A field of `repeats` x 200 px a side, that compresses well and takes seconds to scan at stride 1."""
    return np.tile(make_field(seed, 200, 200, noise=0), (repeats, repeats, 1))


def png(pixels: np.ndarray) -> bytes:
    """`pixels` as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
