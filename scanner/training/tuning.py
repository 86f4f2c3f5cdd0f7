"""The threshold of a trained model, chosen on cases that it was not trained on, and what it reaches there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models import Model
from scanner.evaluation.classes import evaluate_classes
from scanner.evaluation.curves import best_threshold, trace_curve
from scanner.evaluation.rules import MITOS14
from scanner.evaluation.segmentations import choose_threshold, evaluate_segmentation
from scanner.labels.fields import LabelledField, list_cases


def tune(model: Model, fields: Sequence[LabelledField], *, by_borders: bool = False, device: str = "auto") -> Model:
    """The model with its thresholds chosen on `fields`; as it is if there are none.

    Parameters
    ----------
    model : Model
    fields : sequence of LabelledField
        Of cases that were not trained on.
    by_borders : bool
        Of a segmentation: choose the threshold of borders as well, by the segments that its target encloses.
    device : str
    """
    if not fields:
        return model
    if model.card.task == "segmentation":
        segmented = evaluate_segmentation(model, fields, device=device)
        # A class of several is the highest: where only two share the probability, one threshold tells them apart.
        threshold = choose_threshold(segmented, by_borders=False) if len(model.card.mapped) == 1 else 0.5
        border_threshold = choose_threshold(segmented, by_borders=True) if by_borders else 0.0
        model = replace(model, card=replace(model.card, border_threshold=border_threshold))
    else:
        evaluations = evaluate_classes(model, fields, device=device).values()
        threshold = best_threshold(trace_curve([f for one in evaluations for f in one.fields], MITOS14))
    training = model.card.training | {"tuned_on": list_cases(fields)}
    return replace(model, card=replace(model.card, threshold=round(threshold, 4), training=training))
