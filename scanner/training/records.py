"""The records of a training: its curve as a table and as a picture, and the hash of its data."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from models.registry import file_sha256
from scanner.exports.marks import font
from scanner.files.atomic import replacing, write_text
from scanner.labels.fields import LabelledField

CURVE_NAME = "training.csv"
PICTURE_NAME = "training.png"
TENSORBOARD_NAME = "tensorboard"
COLUMNS = ("step", "loss", "learning_rate", "hard_negatives")
#: Of the picture, and of the margin around its curve, pixels.
SIZE, MARGIN = (900, 480), 60
LINE_COLOUR, AXIS_COLOUR = (20, 80, 200), (120, 120, 120)

Row = tuple[int, float, float, int]


class TrainingRecord:
    """The curve of one training, on disk after every report; a resumed training continues it."""

    def __init__(self, folder: Path, *, steps: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._steps = steps
        self._rows = read_curve(folder / CURVE_NAME)
        self._has_begun = False
        self._board: Any = None

    def add(self, row: Row) -> None:
        """Add a report; drops what an earlier, interrupted training reported from that step on."""
        self._rows = [*(known for known in self._rows if known[0] < row[0]), row]
        lines = [
            ",".join(COLUMNS),
            *(f"{step},{loss:.6g},{rate:.6g},{mined}" for step, loss, rate, mined in self._rows),
        ]
        write_text(self._folder / CURVE_NAME, "\n".join(lines) + "\n")
        if not self._has_begun:
            self._board = open_tensorboard(self._folder / TENSORBOARD_NAME, first_step=row[0])
            self._has_begun = True
        if self._board is not None:
            for name, value in zip(COLUMNS[1:], row[1:], strict=True):
                self._board.add_scalar(name, value, row[0])

    def finish(self) -> None:
        """Draw the picture."""
        if self._rows:
            with replacing(self._folder / PICTURE_NAME) as temporary:
                draw_curve(self._rows, steps=self._steps).save(temporary, format="PNG")
        if self._board is not None:
            self._board.close()


def read_curve(path: Path) -> list[Row]:
    """The rows of an earlier part of a training; none if there is none, or none that can be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            (int(row["step"]), float(row["loss"]), float(row["learning_rate"]), int(row["hard_negatives"]))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def draw_curve(rows: list[Row], *, steps: int) -> Image.Image:
    """The loss against the step, its axis logarithmic."""
    picture = Image.new("RGB", SIZE, (255, 255, 255))
    draw, text = ImageDraw.Draw(picture), font(15)
    at = np.array([row[0] for row in rows], np.float64)
    losses = np.maximum([row[1] for row in rows], 1e-9)
    low, high = np.log(losses.min() * 0.95), np.log(losses.max() * 1.05)
    left, right, top, bottom = MARGIN, SIZE[0] - MARGIN // 2, MARGIN // 2, SIZE[1] - MARGIN
    xs = left + (right - left) * at / max(1, steps)
    ys = bottom - (bottom - top) * (np.log(losses) - low) / (high - low)
    draw.line([(left, top), (left, bottom), (right, bottom)], fill=AXIS_COLOUR)
    draw.line([*zip(xs.tolist(), ys.tolist(), strict=True)], fill=LINE_COLOUR, width=2)
    for value, y in ((losses.max(), ys.min()), (losses.min(), ys.max())):
        draw.text((left - 8, y), f"{value:.3g}", font=text, fill=AXIS_COLOUR, anchor="rm")
    draw.text((left, bottom + 12), "0", font=text, fill=AXIS_COLOUR, anchor="ma")
    draw.text((right, bottom + 12), f"step {steps}", font=text, fill=AXIS_COLOUR, anchor="ra")
    draw.text((left, 8), "loss", font=text, fill=AXIS_COLOUR, anchor="la")
    return picture


def open_tensorboard(folder: Path, *, first_step: int) -> Any:
    """A writer of TensorBoard's, or None where it is not installed; what lies there from `first_step` on is dropped."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step)


def hash_fields(fields: Iterable[LabelledField]) -> str:
    """SHA-256 of what a training saw: files and labels of its fields, whatever form the labels had."""
    digest = hashlib.sha256()
    for field in sorted(fields, key=lambda field: (field.path.name, field.case)):
        digest.update(f"{field.path.name}\0{field.case}\0{file_sha256(field.path)}\0".encode())
        for values in (field.points, field.disputed, field.ignored, field.kinds, field.pixel_classes):
            digest.update(b"none" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
