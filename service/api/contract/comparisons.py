"""Pydantic models of comparisons: two results of one slide, side by side."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from service.api.contract.schemas import DetectionOut
from service.results.comparison import RADIUS_UM, Compared, Comparison


class OtherDetectionOut(DetectionOut):
    """A detection of the other job."""

    match: Annotated[str | None, Field(description="id of the detection of this job that it is; null: none is")]


class ComparisonOut(BaseModel):
    """The detections of two jobs of one slide that count at these thresholds."""

    id: str
    other_id: str
    threshold: float
    other_threshold: float
    radius_um: Annotated[float, Field(description="how far two detections of one figure may lie from each other")]
    in_region: Annotated[
        bool, Field(description="true if only a region is compared, since a job has scanned nothing else")
    ]
    both: Annotated[int, Field(description="figures that both jobs have")]
    only_this: int
    only_other: int
    only_this_ids: Annotated[list[str], Field(description="detections of this job that the other has not")]
    others: Annotated[list[OtherDetectionOut], Field(description="the other job's detections, by falling score")]


def comparison_out(this_id: str, other_id: str, sides: tuple[Compared, Compared], found: Comparison) -> ComparisonOut:
    """A comparison as answered."""
    matches = found.partner_of_other
    lone = [one["id"] for one, partner in zip(found.this, found.partners, strict=True) if partner < 0]
    return ComparisonOut(
        id=this_id,
        other_id=other_id,
        threshold=sides[0].threshold,
        other_threshold=sides[1].threshold,
        radius_um=RADIUS_UM,
        in_region=any(side.region for side in sides),
        both=found.both,
        only_this=len(lone),
        only_other=len(found.other) - found.both,
        only_this_ids=lone,
        others=[OtherDetectionOut(**one, match=matches.get(index)) for index, one in enumerate(found.other)],
    )
