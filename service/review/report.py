"""The report of a review: a page to print and sign."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from scanner.detections.hotspots import Hotspot
from scanner.exports.html import MM2, Picture, Table, environment, hpf
from service.results.results import Answer
from service.results.viewer_tiles import CROP_SIDE
from service.review.marks import Agreement, Mark, ReviewCount, agreements
from service.review.reviewed import ReviewedFigure, kept_of, verdict_of
from service.slides_in.region import Region, describe_region

if TYPE_CHECKING:
    from jinja2 import Environment

#: Pictures of figures on the page.
MAX_PICTURES = 120


@dataclass(frozen=True)
class Reviewed:
    """What a report says: a result, its review, and what stands after it."""

    #: The slide and its case.
    name: str
    answer: Answer
    marks: Sequence[Mark]
    count: ReviewCount
    figures: Sequence[ReviewedFigure]
    hotspot: Hotspot | None
    #: The only part of the slide that was scanned; empty: all of it.
    region: Region = ()


def report_text(reviewed: Reviewed, crops: Sequence[bytes]) -> str:
    """The page, which needs no other file.

    Parameters
    ----------
    reviewed : Reviewed
    crops : sequence of bytes
        JPEGs of the first figures.
    """
    kept, answer = kept_of(reviewed.answer), reviewed.answer
    pictures = [_picture(crop, text) for crop, text in zip(crops, map(_caption, reviewed.figures), strict=False)]
    values = {
        "title": f"{reviewed.name}: mitotic figures, reviewed",
        "count": reviewed.count,
        "counted_mm2": kept.counted_mm2,
        "per_mm2": reviewed.count.reviewed / kept.counted_mm2 if kept.counted_mm2 else 0.0,
        "threshold": kept.threshold,
        "region": describe_region(reviewed.region) if reviewed.region else "",
        "hotspot": [] if reviewed.hotspot is None else _hotspot(reviewed.hotspot),
        "reviewers": _reviewers(reviewed.marks),
        "agreement": [_agreed(one) for one in agreements(reviewed.marks)],
        "slide": [
            ("name", reviewed.name),
            ("size", f"{kept.width} x {kept.height} px"),
            ("resolution", f"{kept.mpp:.4g} um/px, from: {answer.image['mpp_source']}"),
            ("model", f"{answer.model['name']} {answer.model['version']}"),
        ],
        "pictures": pictures,
        "left_out": len(reviewed.figures) - len(pictures),
        "figures": _table(reviewed.figures, mpp=kept.mpp),
    }
    return _environment().get_template("reviewed.html").render(values)


@cache
def _environment() -> Environment:
    from jinja2 import ChoiceLoader, PackageLoader

    shared = environment()
    assert shared.loader is not None
    return shared.overlay(loader=ChoiceLoader([PackageLoader("service.review"), shared.loader]))


def _hotspot(hotspot: Hotspot) -> list[tuple[str, str]]:
    return [
        ("count", str(hotspot.count)),
        ("window", f"{hotspot.area_mm2:.2f} {MM2} ({hpf(hotspot.area_mm2)}), {hotspot.shape}"),
        ("tissue in it", f"{hotspot.tissue_mm2:.2f} {MM2}"),
        ("density", f"{hotspot.per_tissue_mm2:.1f} per {MM2} of tissue"),
        ("place", f"x {hotspot.box.left} to {hotspot.box.right}, y {hotspot.box.top} to {hotspot.box.bottom} px"),
    ]


def _reviewers(marks: Iterable[Mark]) -> Table:
    said: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        said[mark.by].append(mark)
    kinds = ("accepted", "rejected", "unsure", "added")
    rows = [
        [name, *(str(sum(mark.verdict == kind for mark in own)) for kind in kinds), _at(max(mark.at for mark in own))]
        for name, own in sorted(said.items())
    ]
    return Table(["reviewer", *kinds, "last verdict (UTC)"], rows)


def _agreed(one: Agreement) -> str:
    first, second = one.reviewers
    kappa = "" if one.kappa is None else f"; Cohen's kappa {one.kappa:.2f}"
    return f"{first} and {second} have both judged {one.both}, and differ on {len(one.differ)}{kappa}."


def _table(figures: Sequence[ReviewedFigure], *, mpp: float) -> Table:
    rows = []
    for one in figures:
        said = verdict_of(one)
        score = "" if one.score is None else f"{one.score:.3f}"
        place = f"{one.x * mpp / 1000:.3f}", f"{one.y * mpp / 1000:.3f}"
        rows.append([*place, score, one.label, said["verdict"] or "not judged", said["by"], said["note"]])
    return Table(["x mm", "y mm", "score", "label", "verdict", "by", "note"], rows)


def _caption(figure: ReviewedFigure) -> str:
    score = "" if figure.score is None else f"{figure.score:.3f}, "
    return f"{score}{verdict_of(figure)['verdict'] or 'not judged'}"


def _picture(crop: bytes, text: str) -> Picture:
    return Picture(text, CROP_SIDE, f"data:image/jpeg;base64,{base64.b64encode(crop).decode('ascii')}")


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
