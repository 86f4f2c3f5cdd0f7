"""A manifest: the slides of a batch as a CSV table, with what holds for each of them alone."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from scanner.batch.worklist import FoundSlide, find_slides
from scanner.errors import SettingsError
from scanner.files.texts import paths_from_text, read_text
from scanner.slides.metadata.units import number_of, shown

MANIFEST_SUFFIX = ".csv"
#: Column separators: spreadsheets write semicolons where the comma is the decimal sign.
SEPARATORS = ",;\t"
#: Excel's first line, of the separator alone.
_EXCEL_LINE = re.compile(r'"?sep=.?"?', re.IGNORECASE)
#: A drive, a share, or any backslash.
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|.*\\")
#: Known columns; others are ignored. Only the path is required.
PATH, PLACE, MPP, MASK, IMAGE = "path", "id", "mpp", "mask", "image"


def slides_to_scan(
    paths: Iterable[Path], *, recursive: bool = False, manifest: Path | None = None
) -> Iterator[FoundSlide]:
    """Slides of paths and folders, then those of manifests; a file that ends in .csv is a manifest.

    Raises
    ------
    SettingsError
        A manifest cannot be read or understood; names its line.
    """
    paths = list(paths)
    manifests = [path for path in paths if path.suffix.lower() == MANIFEST_SUFFIX and not os.path.isdir(path)]
    # Together: a folder that is reached twice is searched once.
    yield from find_slides([path for path in paths if path not in manifests], recursive=recursive)
    for table in [*manifests, *([] if manifest is None else [manifest])]:
        yield from read_manifest(table)


def read_manifest(path: Path) -> list[FoundSlide]:
    """The slides of a manifest, in its order.

    Parameters
    ----------
    path : Path
        CSV with a header, parted by commas, semicolons or tabs; numbers with a decimal point or comma. Column `path`
        (relative ones from the manifest's folder); and if wanted `id` (name of the result folder), `mpp` (micrometres
        per level-0 pixel), `mask` (a file that restricts the scan) and `image` (the only one of its file that is
        scanned, by its index).

    Raises
    ------
    SettingsError
        The manifest cannot be read or understood; names its line.
    """
    text, skipped = _without_preface(read_text(path))
    reader = _read_table(text, path)
    slides, line = [], 0
    try:
        for row in reader:
            line = skipped + reader.line_num
            if not any(_cells(row).values()):
                continue  # Spreadsheets write lines of separators below a table.
            slides.append(_slide_of_row(_cells(row), path.parent, f"{path}, line {line}"))
    except csv.Error as error:
        # An open quote makes one cell of all lines to the end: the slides in it are lost.
        raise SettingsError(f"{path}, after line {line or skipped + 1}: {_describe(error)}") from error
    except ValueError as error:
        raise SettingsError(f"{path}, line {line}: {error}") from error
    if not slides:
        raise SettingsError(f"{path}: lists no slides")
    return slides


def _without_preface(text: str) -> tuple[str, int]:
    """The text from its header on, and the lines before it: blank ones, and that by which Excel knows the separator."""
    lines = text.splitlines(keepends=True)
    skipped = 0
    while skipped < len(lines) and (not lines[skipped].strip() or _EXCEL_LINE.fullmatch(lines[skipped].strip())):
        skipped += 1
    return "".join(lines[skipped:]), skipped


def _cells(row: dict[str | Any, str | Any]) -> dict[str, str]:
    """The cells of a line by their columns; ValueError if there are more than columns."""
    if any(cell.strip() for cell in row.get(None) or ()):
        raise ValueError("more cells than the first line has columns; put quotes around a path with separators in it")
    return {key: value.strip() for key, value in row.items() if key and isinstance(value, str)}


def _describe(error: csv.Error) -> str:
    if "field larger" in str(error):
        return "a cell is too long; is a quote missing?"
    return "a quote is not closed, or text follows it; put quotes around whole cells, and double those within"


def _read_table(text: str, path: Path) -> csv.DictReader[str]:
    """The lines by their columns, which commas part, or semicolons or tabs, as spreadsheets write them."""
    first: list[str] = []
    for separator in SEPARATORS:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        try:
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        except csv.Error:  # Quotes that are valid with another separator only.
            continue
        if reader.fieldnames.count(PATH) > 1:
            raise SettingsError(f"{path}: several columns {PATH!r} in the first line")
        if PATH in reader.fieldnames:
            return reader
        first = max(first, list(reader.fieldnames), key=len)
    found = ", ".join(shown(name) for name in first) or "nothing"
    raise SettingsError(
        f"{path}: no column {PATH!r} in the first line, which holds {found}; "
        f"known: {PATH}, {PLACE}, {MPP}, {MASK}, {IMAGE}"
    )


def _slide_of_row(cells: dict[str, str], folder: Path, where: str) -> FoundSlide:
    """The slide of one line; ValueError says what is wrong with it."""
    if not cells.get(PATH):
        raise ValueError(f"{PATH} is empty")
    slide = _find(cells[PATH], folder)
    mask = _find(cells[MASK], folder) if cells.get(MASK) else None
    place, mpp, image = _place(cells.get(PLACE, "")), _mpp(cells.get(MPP, "")), _image(cells.get(IMAGE, ""))
    fault = ""
    if _WINDOWS_PATH.match(cells[PATH]) and not os.path.exists(slide):
        fault = f"{slide}: a Windows path ({where}) that does not exist here; write it as this system does, with /"
    return FoundSlide(slide, Path(slide.name), place, mpp, mask, image, fault=fault)


def _find(text: str, folder: Path) -> Path:
    """The file that a cell names, whichever way its umlauts are stored; if it is not there, as it is written."""
    paths = paths_from_text(text, folder)
    if "\\" in text:  # Relative Windows paths may exist here.
        paths += paths_from_text(text.replace("\\", "/"), folder)
    return next((path for path in paths if os.path.exists(path)), paths[0])


def _place(text: str) -> Path | None:
    parts = PurePath(text).parts
    # The results stay below the folder that the user gave.
    if PurePath(text).is_absolute() or ".." in parts:
        raise ValueError(f"{PLACE} = {text!r} leads out of the result folder")
    return Path(text) if parts else None


def _image(text: str) -> int | None:
    if text and not text.isdecimal():
        raise ValueError(f"{IMAGE} = {text!r} is not the index of an image, which counts from 0")
    return int(text) if text else None


def _mpp(text: str) -> float | None:
    if not text:
        return None
    try:
        mpp = number_of(text)
    except ValueError:
        mpp = 0.0
    if not 0 < mpp < float("inf"):
        raise ValueError(f"{MPP} = {text!r} is impossible")
    return mpp
