"""Scores on fields of which only points are labelled: of another organ, for one.

Only the labelled points are right or wrong. What is detected away from them is counted for each mm2 and called neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from models import Model
from scanner.evaluation.intervals import average_precisions, interval_of_average_precision, interval_of_share
from scanner.evaluation.matching import FLOOR, FloatArray, best_scores, is_at_border
from scanner.evaluation.rules import Rule
from scanner.evaluation.unlabelled import UnlabelledTissue, describe_unlabelled, tissue_without_labels
from scanner.labels.points import PointsField
from scanner.settings import SettingsKeywords


@dataclass(frozen=True)
class ScoredPoints:
    """The best score on each labelled point of one field, 0 where nothing lies within the rule's radius."""

    name: str
    figures: FloatArray  # (N,)
    #: Cells that are no figures.
    others: FloatArray  # (M,)
    #: What was found away from every point.
    unlabelled: UnlabelledTissue


def score_points(
    model: Model, fields: Sequence[PointsField], rule: Rule, **settings: Unpack[SettingsKeywords]
) -> tuple[ScoredPoints, ...]:
    """Scan fields one by one, as single images, and score their labelled points.

    Points within the card's `margin_um` of the border do not count, as in `score_detections`.

    Parameters
    ----------
    model : Model
        Not trained on these fields.
    fields : sequence of PointsField
    rule : Rule
    **settings
        Settings of the scan.
    """
    return tuple(_score(model, field, rule, settings) for field in fields)


def _score(model: Model, field: PointsField, rule: Rule, settings: SettingsKeywords) -> ScoredPoints:
    from scanner.scanning import scan  # Here: scan loads the slide readers, which matching does not need.

    chosen: SettingsKeywords = {"candidate_floor": FLOOR, **settings, "mpp": field.mpp}
    result = scan(field.path, model, **chosen)
    result.map.close()
    inner = sorted((d for d in result.candidates if not d.border), key=lambda d: -d.score)
    scores = np.array([d.score for d in inner], dtype=np.float64)
    # From the field's corner, which lies half a pixel before the centre of its first pixel.
    places = (np.array([(d.row, d.col) for d in inner], dtype=np.float64).reshape(-1, 2) + 0.5) * field.mpp
    shape, margin_um = (result.frame.level0_height, result.frame.level0_width), model.card.margin_um
    figures, others = (
        points[~is_at_border(points, shape, margin_um / field.mpp)] for points in (field.figures, field.others)
    )
    of_figures, of_others = (
        best_scores(places, scores, (points + 0.5) * field.mpp, radius_um=rule.radius_um)
        for points in (figures, others)
    )
    extent_um = (shape[0] * field.mpp, shape[1] * field.mpp)
    labels = (field.points + 0.5) * field.mpp
    unlabelled = tissue_without_labels(places, scores, labels, extent_um=extent_um, margin_um=margin_um)
    return ScoredPoints(field.path.name, of_figures, of_others, unlabelled)


def describe_points(fields: Sequence[ScoredPoints], *, threshold: float) -> dict[str, Any]:
    """The scores as JSON, each with its bootstrap interval over fields.

    `average_precision` ranks the labelled points alone; those of score 0 come last, all together, so that a model that
    finds nothing has the share of the figures among the points.

    Parameters
    ----------
    fields : sequence of ScoredPoints
    threshold : float
        Above 0.
    """
    shares = {
        "recall": [one.figures for one in fields],
        "others_detected": [one.others for one in fields],
    }
    report: dict[str, Any] = {
        "fields": len(fields),
        "figures": sum(len(one.figures) for one in fields),
        "others": sum(len(one.others) for one in fields),
    }
    for name, scores in shares.items():
        found, all_of_them = [int((own >= threshold).sum()) for own in scores], [len(own) for own in scores]
        report[name] = round(sum(found) / max(1, sum(all_of_them)), 4)
        report[f"{name}_interval"] = _rounded(interval_of_share(found, all_of_them))
    return report | _ranked(fields) | describe_unlabelled([[one.unlabelled] for one in fields], threshold=threshold)


def _ranked(fields: Sequence[ScoredPoints]) -> dict[str, Any]:
    scores = np.concatenate([np.zeros(0), *(np.append(one.figures, one.others) for one in fields)])
    is_figure = np.concatenate(
        [np.zeros(0, bool), *(np.arange(len(one.figures) + len(one.others)) < len(one.figures) for one in fields)]
    )
    groups = np.repeat(np.arange(len(fields)), [len(one.figures) + len(one.others) for one in fields])
    figures = np.array([len(one.figures) for one in fields], np.float64)
    once = np.ones((1, len(fields)), np.int64)
    (pooled,) = average_precisions(scores, is_figure, groups, figures=figures, times=once)
    return {
        "average_precision": round(float(pooled), 4),
        "average_precision_interval": _rounded(interval_of_average_precision(scores, is_figure, groups, figures)),
    }


def _rounded(pair: tuple[float, float]) -> list[float]:
    return [round(value, 4) for value in pair]
