"""What stands after a review: the figures that count, and them as a table and as GeoJSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scanner.exports.geojson import DETECTION_COLOUR, Region, collection_text, point_feature
from service.results.results import Answer
from service.review.marks import Mark, Verdict, added_figures, newest
from service.review.reviews import MarkNotFoundError, ReviewedResult

COLUMNS = ("x", "y", "x_um", "y_um", "score", "label", "verdict", "by", "at", "note", "id")
#: What a figure is called where the result does not say it.
FIGURE = "mitosis"
#: A spreadsheet takes cells that begin so for formulas.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class ReviewedFigure:
    """A figure that counts after the review, and who says so."""

    id: str
    #: Level-0 px.
    x: float
    y: float
    label: str
    #: The model's; None of an added figure.
    score: float | None
    #: None: nobody has judged it, and the model counts it.
    mark: Mark | None


def mark_of_candidate(answer: Answer, mark_id: str) -> Mark:
    """A mark on a detection or candidate, of which nobody has said anything yet.

    Raises
    ------
    MarkNotFoundError
        The result has none of this id.
    """
    found = next((one for one in answer.candidates if one["id"] == mark_id), None)
    if found is None:
        raise MarkNotFoundError(f"this result has no detection or candidate {mark_id!r}")
    return Mark(
        id=mark_id,
        x=found["x"],
        y=found["y"],
        verdict=Verdict.UNSURE,
        by="",
        at=0.0,
        label=found["label"],
        score=found["score"],
        is_counted=_is_counted(found, answer),
    )


def kept_of(answer: Answer) -> ReviewedResult:
    """What a review keeps of a result."""
    return ReviewedResult(
        count=answer.count,
        threshold=answer.threshold,
        width=answer.image["width"],
        height=answer.image["height"],
        mpp=answer.image["mpp"],
        counted_mm2=answer.figures.counted_mm2,
        label=answer.candidates[0]["label"] if answer.candidates else FIGURE,
    )


def reviewed_figures(answer: Answer, marks: Iterable[Mark]) -> list[ReviewedFigure]:
    """The figures that `count_figures` counts: the model's by falling score, then those that were added."""
    latest = newest(marks)
    kept = []
    for one in answer.candidates:
        mark = latest.get(one["id"])
        verdict = mark.verdict if mark else Verdict.UNSURE
        if verdict is Verdict.ACCEPTED or (verdict is Verdict.UNSURE and _is_counted(one, answer)):
            label = mark.label if mark else one["label"]
            kept.append(ReviewedFigure(one["id"], one["x"], one["y"], label, one["score"], mark))
    added = added_figures(latest.values(), mpp=answer.image["mpp"])
    return kept + [ReviewedFigure(mark.id, mark.x, mark.y, mark.label, None, mark) for mark in added]


def table_text(figures: Sequence[ReviewedFigure], *, mpp: float) -> str:
    """The figures as CSV, columns COLUMNS, numbers as in `scanner.exports.table`."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(_cells(one, mpp) for one in figures)
    return text.getvalue()


def geojson_text(figures: Sequence[ReviewedFigure], *, origin: tuple[int, int]) -> str:
    """The figures as QuPath reads them, each with its verdict, reviewer and note as metadata.

    Parameters
    ----------
    figures : sequence of ReviewedFigure
    origin : tuple
        Level-0 (row, col) of QuPath's top left.
    """
    return collection_text(_feature(one, origin) for one in figures)


def text_cell(text: str) -> str:
    """Text for a cell of a table, which no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def verdict_of(figure: ReviewedFigure) -> dict[str, str]:
    """Who says what of it, as text."""
    if figure.mark is None:
        return {"verdict": "", "by": "", "at": "", "note": ""}
    mark = figure.mark
    at = datetime.fromtimestamp(mark.at, UTC).isoformat(timespec="seconds")
    return {"verdict": str(mark.verdict), "by": mark.by, "at": at, "note": mark.note}


def _is_counted(candidate: Mapping[str, Any], answer: Answer) -> bool:
    return bool(candidate["score"] >= answer.threshold and not candidate["border"])


def _cells(figure: ReviewedFigure, mpp: float) -> tuple[str, ...]:
    lengths = (figure.x, figure.y, figure.x * mpp, figure.y * mpp)
    said = verdict_of(figure) | {"label": figure.label}
    said = {name: text_cell(text) for name, text in said.items()}
    return (
        *(f"{length:.3f}" for length in lengths),
        "" if figure.score is None else f"{figure.score:.9g}",
        *(said[name] for name in ("label", "verdict", "by", "at", "note")),
        figure.id,
    )


def _feature(figure: ReviewedFigure, origin: tuple[int, int]) -> dict[str, Any]:
    place = figure.x - origin[1], figure.y - origin[0]
    region = Region(figure.label.capitalize(), DETECTION_COLOUR)
    score = {} if figure.score is None else {"Score": float(f"{figure.score:.9g}")}
    metadata = {name: text for name, text in verdict_of(figure).items() if text}
    return point_feature(figure.id, place, region, measurements=score, metadata=metadata)
