"""Pydantic models of reviews: what reviewers send, and what is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.contract.requests import PLAIN_TEXT
from service.review.marks import Agreement, Mark, Verdict

Label = Annotated[str, Field(min_length=1, max_length=64, pattern=PLAIN_TEXT)]
Note = Annotated[str, Field(max_length=2000)]


class VerdictIn(BaseModel):
    """What a reviewer says of a detection, a candidate, or a figure that somebody added."""

    model_config = ConfigDict(extra="forbid")
    verdict: Literal["accepted", "rejected", "unsure"]
    label: Annotated[Label | None, Field(description="what it is; by default what the model calls it")] = None
    note: Note = ""


class FigureIn(BaseModel):
    """A figure that the model missed."""

    model_config = ConfigDict(extra="forbid")
    x: Annotated[float, Field(strict=True, ge=0, le=1e7, description="centre, in level-0 pixels from the left")]
    y: Annotated[float, Field(strict=True, ge=0, le=1e7, description="from the top")]
    label: Label | None = None
    note: Note = ""


class MarkOut(BaseModel):
    """The verdict of one reviewer on one figure."""

    id: str
    x: float
    y: float
    verdict: Verdict
    label: str
    note: str
    by: str
    at: datetime


class CountOut(BaseModel):
    """Figures of the slide, at the threshold of the scan."""

    model: Annotated[int, Field(description="as the model counts")]
    reviewed: Annotated[int, Field(description="detections not rejected, accepted candidates, and added figures")]
    open: Annotated[int, Field(description="detections that nobody has judged")]


class AgreementOut(BaseModel):
    """How far two reviewers agree on what both have judged."""

    reviewers: tuple[str, str]
    both: int
    kappa: Annotated[float | None, Field(description="Cohen's; null where chance alone would agree always")]
    differ: list[str]


class ReviewOut(BaseModel):
    """What people say of a result; where they differ, the newest verdict counts."""

    count: CountOut
    per_mm2: Annotated[float | None, Field(description="reviewed figures per mm2 of counted tissue")]
    hotspot: Annotated[
        dict[str, Any] | None,
        Field(description="where reviewed figures are densest; null without any, or if the result's files are removed"),
    ]
    marks: list[MarkOut]
    by: Annotated[str, Field(description="what a verdict that is given with this key and `reviewer` has as `by`")]
    agreement: list[AgreementOut]


def mark_out(mark: Mark) -> MarkOut:
    """A mark as answered."""
    said = {name: getattr(mark, name) for name in MarkOut.model_fields}
    return MarkOut(**said | {"at": datetime.fromtimestamp(mark.at, UTC)})


def agreement_out(one: Agreement) -> AgreementOut:
    """An agreement as answered."""
    kappa = None if one.kappa is None else round(one.kappa, 4)
    return AgreementOut(reviewers=one.reviewers, both=one.both, kappa=kappa, differ=list(one.differ))
