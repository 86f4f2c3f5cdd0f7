"""Comparison: which detections of two results of one slide are the same, by the rule that evaluations match by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scanner.evaluation.matching import FloatArray, pair_up
from scanner.evaluation.rules import MIDOG
from service.problems import ReportedError
from service.results.results import Answer
from service.slides_in.region import Region

#: How far two detections of one figure may lie from each other.
RADIUS_UM = MIDOG.radius_um
#: Most detections of a result that are compared.
MAX_COMPARED = 10_000


class IncomparableError(ReportedError, ValueError):
    """Two results cannot be compared, or not at these thresholds."""

    problem_type = "invalid-request"


@dataclass(frozen=True)
class Compared:
    """One of the two results."""

    #: Identity of the slide's bytes.
    slide_sha256: str
    answer: Answer
    threshold: float
    #: The only part of the slide that was scanned; empty: all of it.
    region: Region = ()


@dataclass(frozen=True)
class Comparison:
    """The detections of two results that count, by falling score, and which of them are the same."""

    this: list[dict[str, Any]]
    other: list[dict[str, Any]]
    #: Of each of `this`, the index of its partner in `other`; -1: it has none.
    partners: tuple[int, ...]

    @property
    def both(self) -> int:
        """Figures that both have."""
        return sum(partner >= 0 for partner in self.partners)

    @property
    def partner_of_other(self) -> dict[int, str]:
        """Index in `other` -> id of its partner in `this`."""
        pairs = zip(self.this, self.partners, strict=True)
        return {partner: one["id"] for one, partner in pairs if partner >= 0}


def compare(this: Compared, other: Compared) -> Comparison:
    """Match the detections of two results one to one: each of `this`, by falling score, takes the nearest free one.

    Those at the slide's border do not count, and are left out. So is, where one result is of a region, what lies
    beyond it: the other alone has looked there.

    Raises
    ------
    IncomparableError
        The results are of two slides, or a list is too long.
    """
    if _identity(this) != _identity(other):
        raise IncomparableError("the two jobs are of different slides, or of different images of one file")
    ours, theirs = (_counted(one, (this.region, other.region)) for one in (this, other))
    mpp = this.answer.image["mpp"]
    partners = pair_up(_places(ours) * mpp, _places(theirs) * mpp, radius_um=RADIUS_UM)
    return Comparison(ours, theirs, tuple(partners.tolist()))


def _identity(one: Compared) -> tuple[object, ...]:
    image = one.answer.image
    return one.slide_sha256, image.get("index", 0), image["width"], image["height"]


def _counted(one: Compared, regions: Sequence[Region]) -> list[dict[str, Any]]:
    found = [detection for detection in one.answer.detections(one.threshold) if not detection["border"]]
    for region in regions:
        found = _within(found, region) if region else found
    if len(found) > MAX_COMPARED:
        raise IncomparableError(
            f"{len(found)} detections reach {one.threshold:g}: choose a higher threshold; "
            f"at most {MAX_COMPARED} are compared"
        )
    return found


def _within(detections: list[dict[str, Any]], region: Region) -> list[dict[str, Any]]:
    from skimage.measure import points_in_poly  # Here: it takes half a second, and regions are few.

    # A region counts from the slide's corner, half a pixel before the centre of its first pixel.
    outline = np.array([(y, x) for x, y in region])
    inside = points_in_poly(_places(detections) + 0.5, outline)  # type: ignore[no-untyped-call]
    return [one for one, is_inside in zip(detections, inside, strict=True) if is_inside]


def _places(detections: list[dict[str, Any]]) -> FloatArray:
    """(row, col) in level-0 px: (N, 2)."""
    return np.array([(one["y"], one["x"]) for one in detections], np.float64).reshape(-1, 2)
