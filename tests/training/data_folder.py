"""A small labelled data folder: pink noise with dark disks for figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 96
#: field name -> case, figures (row, col), disputed points (row, col)
FIELDS = {
    "A_1.png": ("A", [(30, 40), (70, 20)], [(60, 80)]),
    "A_2.png": ("A", [], [(20, 20)]),
    "B_1.png": ("B", [(50, 50)], []),
    "C_1.png": ("C", [(25, 70)], [(80, 40)]),
}


def draw_field(figures: list[tuple[int, int]], seed: int) -> np.ndarray:
    """A field of `figures`, each a dark disk of 5 px."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal((215, 150, 195), 12, (SIZE, SIZE, 3))
    rows, cols = np.mgrid[:SIZE, :SIZE]
    for row, col in figures:
        pixels[np.hypot(rows - row, cols - col) <= 5] = (60, 30, 100)
    return pixels.clip(0, 255).astype(np.uint8)


def write_data_folder(folder: Path) -> Path:
    """A data folder with `fields/` (labelled fields) and `cutouts/` (one figure each)."""
    images = folder / "fields" / "images"
    images.mkdir(parents=True)
    labels, disputed = ["image,case,x,y"], ["image,case,x,y"]
    for seed, (name, (case, figures, points)) in enumerate(FIELDS.items()):
        Image.fromarray(draw_field(figures, seed)).save(images / name)
        labels += [f"{name},{case},{col},{row}" for row, col in figures]
        disputed += [f"{name},{case},{col},{row}" for row, col in points]
    (folder / "fields" / "labels.csv").write_text("\n".join(labels) + "\n")
    (folder / "fields" / "hard_negatives.csv").write_text("\n".join(disputed) + "\n")
    patches = folder / "cutouts" / "patches"
    patches.mkdir(parents=True)
    rows = ["file,slide,scanner_group"]
    for seed in range(6):
        Image.fromarray(draw_field([(SIZE // 2, SIZE // 2)], seed + 50)).save(patches / f"{seed}.png")
        rows.append(f"{seed}.png,slide{seed % 2},scanner")
    (folder / "cutouts" / "patches.csv").write_text("\n".join(rows) + "\n")
    return folder
