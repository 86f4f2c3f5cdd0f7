"""Marks: what each reviewer says of each figure, and the counts that follow. Pure functions.

A mark names a detection or candidate of the result, or a figure that a reviewer added. Every reviewer has a verdict of
their own on it, and none overwrites another's; where they differ, the newest counts. What the model said never changes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

#: Figures that two reviewers added no further apart than this are one figure.
SAME_FIGURE_UM = 5.0


class Verdict(StrEnum):
    """What a reviewer says of a mark."""

    ACCEPTED = "accepted"  # it is a figure
    REJECTED = "rejected"  # it is none
    UNSURE = "unsure"  # nobody can tell: it stays as the model has it
    ADDED = "added"  # a figure that the model has not among its candidates


class ReviewState(StrEnum):
    """How far a review is: verdicts against detections."""

    NONE = "none"  # nobody has said anything
    STARTED = "started"  # there are verdicts, and detections without one
    DONE = "done"  # somebody has judged every detection


@dataclass(frozen=True)
class Mark:
    """The verdict of one reviewer on one figure."""

    id: str
    #: Level-0 px.
    x: float
    y: float
    verdict: Verdict
    #: Who says so.
    by: str
    #: When, seconds since 1970.
    at: float
    label: str
    note: str = ""
    #: The model's; None of an added figure.
    score: float | None = None
    #: True if the model counts it: a detection at the scan's threshold, not at the slide's border.
    is_counted: bool = False
    #: True if a reviewer has put it there: it is no candidate of the model's.
    is_added: bool = False


@dataclass(frozen=True)
class ReviewCount:
    """Figures of a slide, by the model and by its reviewers."""

    model: int
    reviewed: int
    #: Detections that the model counts and nobody has judged.
    open: int


@dataclass(frozen=True)
class Agreement:
    """How far two reviewers say the same of the marks that both have judged."""

    reviewers: tuple[str, str]
    #: Marks that both have judged.
    both: int
    #: Cohen's kappa of "figure" and "no figure"; None where it is not defined: nothing in common, or all of one kind.
    kappa: float | None
    #: Ids of the marks on which they differ.
    differ: tuple[str, ...]


def newest(marks: Iterable[Mark]) -> dict[str, Mark]:
    """The verdict that counts of each mark, by its id; of verdicts of one moment that of the last name."""
    latest: dict[str, Mark] = {}
    for mark in sorted(marks, key=lambda mark: (mark.at, mark.by)):
        latest[mark.id] = mark
    return latest


def count_figures(marks: Iterable[Mark], *, model: int, mpp: float) -> ReviewCount:
    """The counts that follow from the marks of a result in which the model counts `model` figures.

    Reviewed are the detections that the model counts and nobody rejected, what was accepted besides, and what was
    added. A figure that two reviewers added counts once.
    """
    latest = newest(marks).values()
    judged = [mark for mark in latest if mark.is_counted]
    rejected = sum(mark.verdict is Verdict.REJECTED for mark in judged)
    accepted = sum(mark.verdict is Verdict.ACCEPTED for mark in latest if not mark.is_counted and not mark.is_added)
    return ReviewCount(model, model - rejected + accepted + len(added_figures(latest, mpp=mpp)), model - len(judged))


def added_figures(latest: Iterable[Mark], *, mpp: float) -> list[Mark]:
    """The added figures that stand, in the order in which they were added, each figure once."""
    kept: list[Mark] = []
    for mark in sorted((one for one in latest if one.is_added), key=lambda one: (one.at, one.id)):
        if mark.verdict not in (Verdict.ADDED, Verdict.ACCEPTED):
            continue
        others = (one for one in kept if one.by != mark.by)
        if all(math.hypot(one.x - mark.x, one.y - mark.y) * mpp > SAME_FIGURE_UM for one in others):
            kept.append(mark)
    return kept


def agreements(marks: Iterable[Mark]) -> list[Agreement]:
    """Of each two reviewers, in the order of their names."""
    said: dict[str, dict[str, Mark]] = defaultdict(dict)
    for mark in marks:
        said[mark.by][mark.id] = mark
    return [_agreement(first, second, said) for first, second in combinations(sorted(said), 2)]


def _agreement(first: str, second: str, said: dict[str, dict[str, Mark]]) -> Agreement:
    both = sorted(said[first].keys() & said[second].keys())
    pairs = [(said[first][mark], said[second][mark]) for mark in both]
    differ = [one.id for one, other in pairs if _is_figure(one) is not _is_figure(other)]
    sure = [(kinds[0], kinds[1]) for pair in pairs if None not in (kinds := [_is_figure(one) for one in pair])]
    return Agreement((first, second), len(both), cohens_kappa(sure), tuple(differ))


def _is_figure(mark: Mark) -> bool | None:
    """None: the reviewer is unsure."""
    return None if mark.verdict is Verdict.UNSURE else mark.verdict is not Verdict.REJECTED


def cohens_kappa(pairs: Sequence[tuple[bool | None, bool | None]]) -> float | None:
    """Agreement of two readers beyond chance (Cohen 1960); None where chance alone would agree always."""
    if not pairs:
        return None
    count = len(pairs)
    agreed = sum(one is other for one, other in pairs) / count
    first, second = (sum(bool(pair[side]) for pair in pairs) / count for side in (0, 1))
    by_chance = first * second + (1 - first) * (1 - second)
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
