"""COCO's JSON of a whole folder, and MIDOG's, which has corners where COCO has sizes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanner.errors import SettingsError
from scanner.training.labels.naming import class_of
from scanner.training.labels.shapes import Mark, mark_of_box, mark_of_rings


def read_coco(path: Path, classes: Sequence[str]) -> dict[str, tuple[Mark, ...]]:
    """The marks of each image, by its file name; images without any are there as well.

    Raises
    ------
    SettingsError
        It is neither COCO nor MIDOG, or has a category that the model has not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: image for image in content["images"]}
        annotations = content["annotations"]
        names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
        are_corners = _boxes_are_corners(images, annotations)
        marks: dict[str, list[Mark]] = defaultdict(list)
        for entry in annotations:
            kind = class_of(names.get(entry.get("category_id"), ""), classes, source=str(path))
            marks[images[entry["image_id"]]["file_name"]].append(_mark(entry, kind, are_corners=are_corners))
        return {image["file_name"]: tuple(marks[image["file_name"]]) for image in images.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{path} is neither COCO nor MIDOG: {error!r}") from error


def _boxes_are_corners(images: dict[Any, dict[str, Any]], annotations: Sequence[dict[str, Any]]) -> bool:
    """True if the boxes are (left, top, right, bottom): taken as COCO's sizes, some would reach beyond their image."""
    boxes = [(images[entry["image_id"]], entry["bbox"]) for entry in annotations if entry.get("bbox")]
    if not all(box[2] > box[0] and box[3] > box[1] for _, box in boxes):
        return False
    sized = ((image, box) for image, box in boxes if "width" in image and "height" in image)
    return any(box[0] + box[2] > image["width"] or box[1] + box[3] > image["height"] for image, box in sized)


def _mark(entry: dict[str, Any], kind: int | None, *, are_corners: bool) -> Mark:
    outlines = entry.get("segmentation")
    if isinstance(outlines, list) and outlines:
        rings = [np.array(outline, np.float64).reshape(-1, 2)[:, ::-1] for outline in outlines]
        return mark_of_rings(kind, rings)
    left, top, third, fourth = (float(value) for value in entry["bbox"])
    right, bottom = (third, fourth) if are_corners else (left + third, top + fourth)
    return mark_of_box(kind, (top, left, bottom, right))
