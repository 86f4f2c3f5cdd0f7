"""run.json: what was scanned, with which model and settings, and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from scanner.files.atomic import write_text
from scanner.files.printable import well_formed


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write `report` as JSON, keys sorted; a reader sees the old file or the whole new one.

    Parameters
    ----------
    path : Path
        Usually `run.json`, the last file of a scan.
    report : mapping
        Of JSON values, numpy numbers and paths. NaN and infinity are refused: JSON has no word for them.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_text(path, report_as_json(report) + "\n")


def as_written(report: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_report` gives back of a report that `write_report` has written."""
    content: dict[str, Any] = json.loads(report_as_json(report))
    return content


def read_report(path: Path) -> dict[str, Any]:
    """The report written to `path`."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def domain_warning(report: Mapping[str, Any]) -> str:
    """What a report says of a slide that is unlike those its model was trained on; empty if it is not."""
    domain: Mapping[str, str] = report.get("domain", {})
    return domain.get("warning", "")


def report_as_json(report: Mapping[str, Any]) -> str:
    """JSON for any reader: names that are not UTF-8 are written with escapes, see `scanner.files.printable`."""
    text = json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)
    return well_formed(text, backslash="\\\\")


def _plain(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    import numpy as np  # Here, so that a report of plain values needs no numpy.

    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written into a report")
