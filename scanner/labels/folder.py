"""Read a folder of fields with labels in any of the known formats.

    labels.csv                          points: image, x, y, and if wanted case, label
    labels/NAME.geojson                 QuPath's objects of images/NAME.png
    labels/NAME.png (or .tif)           the class of every pixel of images/NAME.png
    labels.json, or any one .json       COCO or MIDOG

Text may be packed too, as NAME.geojson.gz. `images` may be called `image`, `labels` may be called `label`; GeoJSON may
also lie beside the images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scanner.errors import SettingsError
from scanner.labels.boxes import Boxes, boxes_from_name
from scanner.labels.coco import read_coco
from scanner.labels.fields import LabelledField, read_fields, shape_of_field, with_points
from scanner.labels.naming import class_of
from scanner.labels.pictures import marks_of_labels, read_label_image
from scanner.labels.qupath import read_qupath
from scanner.labels.shapes import Mark, paint_marks, refuse_marks_off
from scanner.labels.tables import text_file
from scanner.slides.pixels.protocol import RGB

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class LabelRules:
    """What labels mean."""

    #: Micrometres per pixel of the fields.
    mpp: float
    #: Classes of the model, the background first.
    classes: Sequence[str] = ("background", "mitosis")
    #: "segmentation" wants a class for every pixel, "detection" points.
    task: str = "detection"
    #: Value in label images that stands for each class; the class's index if left out.
    values: Sequence[int] = ()
    #: Channels of the fields' pixels.
    channels: int = RGB
    #: What the four numbers of a box are, "corners" or "size"; "" if the file states it.
    boxes: str = ""


def read_labelled(folder: Path, rules: LabelRules) -> tuple[LabelledField, ...]:
    """The labelled fields of a folder, sorted by name; the files show which format the labels have.

    Raises
    ------
    SettingsError
        There are no labels, they cannot be read, or they have classes that the model has not.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder} is not a folder")
    boxes = boxes_from_name(rules.boxes)
    if text_file(folder / "labels.csv") is not None:
        if rules.task == "segmentation":
            raise SettingsError(f"{folder / 'labels.csv'} has points; a segmentation needs outlines or label images")
        named = str(folder / "labels.csv")
        class_index = partial(class_of, classes=rules.classes, source=named)
        return read_fields(folder, mpp=rules.mpp, class_index=class_index, channels=rules.channels)
    images = next((folder / name for name in ("images", "image") if (folder / name).is_dir()), folder)
    tables = sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")])
    if tables:
        return _read_table(tables, images, rules, boxes=boxes)
    pairs = [(path, label) for path in _images_in(images) if (label := _label_of(path, folder)) is not None]
    if not pairs:
        raise SettingsError(
            f"{folder} holds no labels: neither labels.csv, nor a .json of COCO or MIDOG, nor labels/NAME.geojson or "
            "labels/NAME.png for an image NAME"
        )
    return tuple(_field(path, _read_label(path, label, rules), rules) for path, label in pairs)


def _read_table(
    tables: list[Path], images: Path, rules: LabelRules, *, boxes: Boxes | None
) -> tuple[LabelledField, ...]:
    if len(tables) > 1:
        raise SettingsError(f"{tables[0].parent} holds several .json files; remove all but the one with the labels")
    fields = []
    for name, marks in sorted(read_coco(tables[0], rules.classes, boxes=boxes).items()):
        path = images / name
        if not path.is_file():
            raise SettingsError(f"{tables[0]} names {name}, which {images} does not hold")
        fields.append(_field(path, marks, rules))
    return tuple(fields)


def _images_in(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES)


def _label_of(image: Path, folder: Path) -> Path | None:
    """The file with the labels of an image, if there is one."""
    beside = image.with_suffix(".geojson")
    places = [folder / name for name in ("labels", "label") if (folder / name).is_dir()]
    found = [place / f"{image.stem}{suffix}" for place in places for suffix in (".geojson", *LABEL_SUFFIXES)]
    return next((there for path in (*found, beside) if (there := text_file(path)) is not None), None)


def _read_label(image: Path, label: Path, rules: LabelRules) -> tuple[Mark, ...] | np.ndarray:
    if label.name.endswith((".geojson", ".geojson.gz")):
        return read_qupath(label, rules.classes)
    shape = shape_of_field(image, rules.channels)
    return read_label_image(label, shape=shape, classes=len(rules.classes), values=rules.values)


def _field(path: Path, labels: tuple[Mark, ...] | np.ndarray, rules: LabelRules) -> LabelledField:
    height, width = shape_of_field(path, rules.channels)
    if not isinstance(labels, np.ndarray):
        refuse_marks_off(labels, (height, width), path)
    if rules.task == "segmentation":
        is_picture = isinstance(labels, np.ndarray)
        if not is_picture and any(not mark.rings for mark in labels):
            raise SettingsError(f"the labels of {path} have points; a segmentation needs outlines")
        painted = labels if isinstance(labels, np.ndarray) else paint_marks(labels, (height, width))
        return LabelledField(path, path.stem, rules.mpp, pixel_classes=painted, channels=rules.channels)
    marks = marks_of_labels(labels) if isinstance(labels, np.ndarray) else labels
    plain = LabelledField(path, path.stem, rules.mpp, channels=rules.channels)
    return with_points(plain, [mark.centre for mark in marks], [mark.kind for mark in marks])
