"""COCO's JSON of a whole folder, and MIDOG's, which has corners where COCO has sizes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanner.errors import SettingsError
from scanner.files.texts import read_text
from scanner.labels.boxes import Boxes, WrittenBox, tell_boxes
from scanner.labels.naming import class_of
from scanner.labels.shapes import Mark, mark_of_box, mark_of_rings


def read_coco(path: Path, classes: Sequence[str], *, boxes: Boxes | None = None) -> dict[str, tuple[Mark, ...]]:
    """The marks of each image, by its file name; images without any are there as well.

    Parameters
    ----------
    path : Path
    classes : sequence of str
        Of the model, the background first.
    boxes : Boxes, optional
        What the four numbers of a box mean, where the file does not say.

    Raises
    ------
    SettingsError
        It is neither COCO nor MIDOG, has a category that the model has not, or boxes of which nobody says how they
        are written.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
        images = {image["id"]: image for image in content["images"]}
        names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
        annotations = [
            (f"annotation {entry.get('id', index)}", entry) for index, entry in enumerate(content["annotations"])
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} is neither COCO nor MIDOG: {_reason(error)}") from error
    marks: dict[str, list[Mark]] = defaultdict(list)
    written = [_written_box(entry, where, images, path) for where, entry in annotations if not _outlines(entry)]
    reading = tell_boxes(written, stated=boxes, info=content.get("info"), source=str(path))
    for where, entry in annotations:
        kind = class_of(names.get(entry.get("category_id"), ""), classes, source=f"{path}, {where},")
        name = str(_image_of(entry, where, images, path)["file_name"])
        marks[name].append(_mark(entry, where, kind, images=images, path=path, reading=reading))
    return {str(image["file_name"]): tuple(marks[str(image["file_name"])]) for image in images.values()}


def _image_of(entry: Mapping[str, Any], where: str, images: Mapping[Any, Any], path: Path) -> Mapping[str, Any]:
    image = images.get(entry.get("image_id"))
    if not isinstance(image, Mapping) or "file_name" not in image:
        raise SettingsError(f"{path}, {where}: image {entry.get('image_id')!r} is not among the images")
    return image


def _written_box(entry: Mapping[str, Any], where: str, images: Mapping[Any, Any], path: Path) -> WrittenBox:
    image = _image_of(entry, where, images, path)
    try:
        left, top, third, fourth = (float(value) for value in entry["bbox"])
        shape = (float(image["height"]), float(image["width"])) if {"height", "width"} <= image.keys() else None
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"{path}, {where}: neither four numbers of a box nor an outline: {_reason(error)}"
        ) from error
    if not np.isfinite([left, top, third, fourth]).all():
        raise SettingsError(f"{path}, {where}: its box holds a value that is not a number")
    return WrittenBox(where, (left, top, third, fourth), shape, entry.get("area"), entry.get("bbox_mode"))


def _outlines(entry: Mapping[str, Any]) -> list[Any]:
    """The outlines of an annotation; none if it has a box alone, or a mask in COCO's run lengths."""
    outlines = entry.get("segmentation")
    return outlines if isinstance(outlines, list) else []


def _mark(
    entry: Mapping[str, Any], where: str, kind: int | None, *, images: Mapping[Any, Any], path: Path, reading: Boxes
) -> Mark:
    if not (outlines := _outlines(entry)):
        return mark_of_box(kind, _written_box(entry, where, images, path).edges(reading), where=f"{path}, {where}")
    try:
        rings = [np.array(outline, np.float64).reshape(-1, 2)[:, ::-1] for outline in outlines]
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}, {where}: its outline is not a list of pairs of numbers") from error
    if any(len(ring) < 3 or not np.isfinite(ring).all() for ring in rings):
        raise SettingsError(f"{path}, {where}: its outline has fewer than three corners, or one that is not a number")
    return mark_of_rings(kind, rings, where=f"{path}, {where}")


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
