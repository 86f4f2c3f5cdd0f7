"""Tables of points: labels.csv as spreadsheets write it, each point with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import SettingsError
from scanner.files.texts import read_text
from scanner.labels.shapes import is_off
from scanner.slides.metadata.units import number_of


@dataclass(frozen=True)
class Point:
    """A line of a table."""

    image: str
    #: The image's name, if no column states it.
    case: str
    #: (row, col), pixel centres at whole numbers.
    place: tuple[float, float]
    label: str
    #: File and line, for messages.
    where: str


def text_file(path: Path) -> Path | None:
    """The file, or the same one packed (`.gz`); None if there is neither."""
    return next((one for one in (path, path.with_name(f"{path.name}.gz")) if one.is_file()), None)


def read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines of a table, each with its number, by the columns that its first line names.

    Commas, semicolons or tabs part the columns, as the first line has them.

    Raises
    ------
    SettingsError
        It is not there, or no text.
    """
    there = text_file(path)
    if there is None:
        raise SettingsError(f"{path.parent} holds no {path.name}")
    text = read_text(there)
    header = text.split("\n", 1)[0]
    parted = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=parted, skipinitialspace=True)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    return [(reader.line_num, row) for row in reader]


def read_points(path: Path, *, required: bool = True) -> list[Point]:
    """The points of a table with the columns image, x, y, and if wanted case and label.

    Raises
    ------
    SettingsError
        A column is missing, or a line has no numbers; names the line.
    """
    rows = read_rows(path) if required or text_file(path) is not None else []
    return [_point(row, f"{path}, line {line}") for line, row in rows]


def refuse_points_off(points: Iterable[Point], shape: tuple[int, int]) -> None:
    """SettingsError if a point lies off its image of that (height, width); names the line."""
    height, width = shape
    for point in points:
        row, col = point.place
        if is_off(point.place, shape):
            raise SettingsError(
                f"{point.where}: ({col:g}, {row:g}) (x, y) lies outside {point.image} of {width} x {height} px; are "
                "these coordinates in its pixels?"
            )


def _point(row: dict[str, str], where: str) -> Point:
    try:
        image, place = row["image"].strip(), (number_of(row["y"]), number_of(row["x"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        found = ", ".join(filter(None, row))
        raise SettingsError(
            f"{where}: needs the columns image, x and y, with numbers in x and y; it has {found}; x = "
            f"{row.get('x')!r}, y = {row.get('y')!r}"
        ) from error
    return Point(image, row.get("case") or Path(image).stem, place, (row.get("label") or "").strip(), where)
