"""Delivery: what became of a job's annotations on their way to a DICOMweb server. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class DeliveryState(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"  # the job has not ended, or the next attempt is still to come
    STORED = "stored"  # the server has said so
    EMPTY = "empty"  # the result has no candidates, and so no annotations
    FAILED = "failed"  # no further attempt


@dataclass(frozen=True)
class Delivery:
    """Annotations on their way to a DICOMweb server."""

    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    #: Time of the last attempt.
    at: float | None = None
    #: Where the server says that the annotations are.
    url: str | None = None
    #: Why the last attempt has failed.
    detail: str | None = None


def delivered(delivery: Delivery, *, url: str | None, now: float) -> Delivery:
    """The delivery, after an attempt that the server has confirmed."""
    return Delivery(DeliveryState.STORED, delivery.attempts + 1, now, url)


def needless(delivery: Delivery, *, now: float) -> Delivery:
    """The delivery of a result without annotations."""
    return replace(delivery, state=DeliveryState.EMPTY, at=now)


def refused(delivery: Delivery, *, detail: str, now: float, is_last: bool) -> Delivery:
    """The delivery, after an attempt that has failed."""
    state = DeliveryState.FAILED if is_last else DeliveryState.WAITING
    return Delivery(state, delivery.attempts + 1, now, detail=detail)
