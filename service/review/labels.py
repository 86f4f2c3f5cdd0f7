"""`labels.zip`: what was reviewed of a result, in the form that `mitoscan train` and `evaluate` read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from PIL import Image

from scanner.geometry.frames import Box, Frame, grid_from_level0
from scanner.labels.judged import HARD_NEGATIVE, IGNORED, JudgedField, JudgedPoint, fields_around, tables_of
from scanner.slides.pixels.grid import Grid
from service.problems import ReportedError
from service.results.results import Answer
from service.results.viewer_tiles import TileSource, open_source
from service.review.marks import Mark, Verdict, added_figures, newest

#: Most fields of one file, and most bytes of one field: pixels that cannot be compressed.
MAX_FIELDS, FIELD_BYTES = 1000, 650_000
#: Of all entries: the same review gives the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
#: What the fields are of: job, name, case, model and mpp.
SOURCE_NAME = "source.json"


class NothingReviewedError(ReportedError):
    """Nobody has accepted, rejected or added anything."""

    problem_type = "nothing-reviewed"


class TooManyLabelsError(ReportedError):
    """The review has more fields than one file may hold."""

    problem_type = "review-full"


@dataclass(frozen=True)
class LabelsPlan:
    """The fields of a `labels.zip`, before any is read."""

    #: The grid that they are cut from: the slide at the model's mpp.
    frame: Frame
    fields: tuple[JudgedField, ...]


def plan_labels(answer: Answer, marks: Iterable[Mark], *, model_mpp: float) -> LabelsPlan:
    """The fields around what was reviewed.

    Raises
    ------
    NothingReviewedError, TooManyLabelsError
    """
    image = answer.image
    frame = Frame(image["height"], image["width"], level0_mpp=image["mpp"], grid_mpp=model_mpp, stride=1)
    points = [
        JudgedPoint(_on_grid(y, frame.scale, frame.grid_height), _on_grid(x, frame.scale, frame.grid_width), label)
        for y, x, label in _judged(answer, marks)
    ]
    fields = fields_around(points, height=frame.grid_height, width=frame.grid_width)
    if not fields:
        raise NothingReviewedError("nothing was accepted, rejected or added yet")
    if len(fields) > MAX_FIELDS:
        raise TooManyLabelsError(f"the review has {len(fields)} fields; one file holds at most {MAX_FIELDS}")
    return LabelsPlan(frame, tuple(fields))


def cut_field(source: TileSource, frame: Frame, box: Box) -> bytes:
    """A field as PNG. It runs in the processes of tile_processes.py.

    Raises
    ------
    ScannerError
        The slide, or this part of it, cannot be read.
    """
    pixels = Grid(open_source(source), frame).read(box)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class LabelsFile:
    """A `labels.zip` that is being written, image by image."""

    def __init__(self, file: IO[bytes], *, prefix: str, case: str) -> None:
        self._zip = zipfile.ZipFile(file, "w")
        self._prefix, self._case = prefix, case
        self._fields: list[tuple[str, str, JudgedField]] = []

    def add(self, field: JudgedField, png: bytes) -> None:
        """Write the image of a field."""
        name = f"{self._prefix}-{field.box.top}-{field.box.left}.png"
        self._write(f"images/{name}", png)
        self._fields.append((name, self._case, field))

    def finish(self, source: dict[str, Any]) -> None:
        """Write the tables and, as `source.json`, where the fields come from; end the file."""
        for name, text in tables_of(self._fields).items():
            self._write(name, text.encode())
        self._write(SOURCE_NAME, json.dumps(source, indent=2).encode())
        self._zip.close()

    def _write(self, name: str, content: bytes) -> None:
        self._zip.writestr(zipfile.ZipInfo(name, _NO_TIME), content)


def _judged(answer: Answer, marks: Iterable[Mark]) -> Iterator[tuple[float, float, str]]:
    """All that is known of the slide's points: level-0 (y, x), and the class that training takes each for."""
    latest = newest(marks)
    for one in answer.candidates:
        mark = latest.get(one["id"])
        yield one["y"], one["x"], _class_of(mark)
    added = added_figures(latest.values(), mpp=answer.image["mpp"])
    yield from ((mark.y, mark.x, mark.label) for mark in added)


def _on_grid(level0_coordinate: float, scale: float, size: int) -> float:
    """Grid coordinate; what lies in the outer half of the outermost pixels lies at their centres."""
    return min(max(grid_from_level0(level0_coordinate, scale), 0.0), size - 1.0)


def _class_of(mark: Mark | None) -> str:
    if mark is None or mark.verdict is Verdict.UNSURE:
        return IGNORED
    return HARD_NEGATIVE if mark.verdict is Verdict.REJECTED else mark.label
