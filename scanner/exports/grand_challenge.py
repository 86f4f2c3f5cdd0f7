"""Points as Grand-Challenge takes them: millimetres, and what lies below the threshold as well."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from scanner.detections.detection import Detection
from scanner.files.atomic import write_text

FIGURE, OTHER = "mitotic figure", "non-mitotic figure"


def write_points(path: Path, candidates: Iterable[Detection], *, threshold: float) -> None:
    """Write `mitotic-figures.json`: "Multiple points", version 1.0.

    Parameters
    ----------
    path : Path
        The file.
    candidates : iterable of Detection
        All of them: those below the threshold are named "non-mitotic figure", for scorers that go by the probability.
    threshold : float
        In force.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    points = [
        {
            "name": FIGURE if candidate.score >= threshold else OTHER,
            "point": [round(candidate.col_um / 1000, 6), round(candidate.row_um / 1000, 6), 0],
            "probability": float(f"{candidate.score:.9g}"),
        }
        for candidate in candidates
    ]
    content = {
        "name": "Points of interest",
        "type": "Multiple points",
        "points": points,
        "version": {"major": 1, "minor": 0},
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
