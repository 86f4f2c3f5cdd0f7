"""Detections as CSV: x, y in level-0 px first, then micrometres, score and label."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from scanner.detections.detection import Detection
from scanner.files.atomic import write_text

COLUMNS = ("x", "y", "x_um", "y_um", "score", "label", "border", "raw_score", "id")


def write_table(path: Path, detections: Iterable[Detection]) -> None:
    """Write one line per detection, in the order given.

    Columns are COLUMNS: x is the column and y the row of the centre in level-0 px; border is 1 for detections on the
    slide's true border, else 0; raw_score is empty where score is the map's value; id is the detection's in every file.
    Coordinates have three decimals, scores the nine digits that tell float32 apart.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(_cells(detection) for detection in detections)
    write_text(path, text.getvalue())


def _cells(detection: Detection) -> tuple[str, ...]:
    lengths = (detection.col, detection.row, detection.col_um, detection.row_um)
    return (
        *(f"{length:.3f}" for length in lengths),
        f"{detection.score:.9g}",
        detection.label,
        str(int(detection.border)),
        "" if detection.raw_score is None else f"{detection.raw_score:.9g}",
        detection.id,
    )
