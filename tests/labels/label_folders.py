"""The same labels in every form that they may have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Height and width of every field.
SHAPE = (60, 90)
#: Field -> its figures as (row, col, class), pixel centres at whole numbers.
FIGURES = {
    "A_1.png": [(20, 30, "cell"), (41, 70, "debris")],
    "B_1.png": [(10, 12, "cell")],
    "C_1.png": [],
}
CLASSES = ("background", "cell", "debris")
#: Half the side of the boxes around figures.
REACH = 4


def write_images(folder: Path) -> Path:
    """`folder`/images with the fields."""
    (folder / "images").mkdir(parents=True)
    for seed, name in enumerate(FIGURES):
        pixels = np.random.default_rng(seed).integers(100, 200, (*SHAPE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    return folder


def write_points(folder: Path) -> None:
    """labels.csv; a field without figures is in hard_negatives.csv."""
    rows = [f"{name},{col},{row},{kind}" for name, found in FIGURES.items() for row, col, kind in found]
    (folder / "labels.csv").write_text("\n".join(["image,x,y,label", *rows]) + "\n")
    (folder / "hard_negatives.csv").write_text("image,x,y\nC_1.png,5,6\n")


def write_qupath(folder: Path, *, outlines: bool = False) -> None:
    """A GeoJSON for each field: points, or boxes as polygons."""
    (folder / "labels").mkdir(exist_ok=True)
    for name, found in FIGURES.items():
        features = [feature(row, col, kind, outline=outlines) for row, col, kind in found]
        content = {"type": "FeatureCollection", "features": features}
        (folder / "labels" / name).with_suffix(".geojson").write_text(json.dumps(content))


def feature(row: float, col: float, kind: str, *, outline: bool = False) -> dict[str, object]:
    """A QuPath object."""
    geometry = (
        {"type": "Polygon", "coordinates": [square(row, col)]}
        if outline
        else {"type": "Point", "coordinates": [col, row]}
    )
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": kind.capitalize()}}}


def square(row: float, col: float) -> list[list[float]]:
    """x, y along the edges of pixels, closed, around a pixel."""
    low, high = -REACH, REACH + 1
    corners = [(low, low), (low, high), (high, high), (high, low), (low, low)]
    return [[col + across, row + down] for down, across in corners]


def write_coco(folder: Path, *, corners: bool = False) -> None:
    """labels.json with boxes, as COCO or with MIDOG's corners."""
    side = 2 * REACH + 1
    images = [{"id": i, "file_name": name, "width": 90, "height": 60} for i, name in enumerate(FIGURES)]
    boxes = [(i, *figure) for i, found in enumerate(FIGURES.values()) for figure in found]
    annotations = [
        {
            "image_id": i,
            "category_id": CLASSES.index(kind),
            "bbox": [col - REACH, row - REACH, *((col + REACH + 1, row + REACH + 1) if corners else (side, side))],
        }
        for i, row, col, kind in boxes
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content))


def write_label_images(folder: Path, values: Sequence[int] = (0, 1, 2)) -> None:
    """labels/NAME.png: boxes around the figures."""
    (folder / "labels").mkdir(exist_ok=True)
    for name in FIGURES:
        Image.fromarray(np.array(values, np.uint8)[painted(name)]).save(folder / "labels" / name)


def painted(name: str) -> npt.NDArray[np.uint8]:
    """The class of every pixel of a field."""
    labels = np.zeros(SHAPE, np.uint8)
    for row, col, kind in FIGURES[name]:
        labels[row - REACH : row + REACH + 1, col - REACH : col + REACH + 1] = CLASSES.index(kind)
    return labels
