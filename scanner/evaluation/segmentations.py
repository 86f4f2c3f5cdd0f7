"""Scan labelled fields as a user would, and score the segmentation by pixels and by what its borders enclose."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from models import Model
from scanner.evaluation.segmentation import RandScore, border_threshold, pixel_error, score_borders
from scanner.geometry.frames import Box, Frame
from scanner.labels.fields import LabelledField
from scanner.labels.targets import NO_CLASS
from scanner.maps.segmentation import label_values, smoothed_layers
from scanner.settings import SettingsKeywords

Labels = npt.NDArray[np.uint8]

#: What a border's thresholds are chosen from.
THRESHOLDS = (0.06, 0.08, 0.1, 0.12, *(step / 20 for step in range(3, 15)))


@dataclass(frozen=True)
class SegmentedField:
    """A field with the class of every pixel, as it is and as the model has it."""

    name: str
    case: str
    #: NO_CLASS where there is none.
    truth: Labels
    #: Smoothed map of each mapped class at every pixel, (layers, H, W).
    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SegmentationEvaluation:
    """Segmented fields of one model, and the threshold that they are scored at."""

    model: Model
    fields: tuple[SegmentedField, ...]
    threshold: float

    def report(self) -> dict[str, Any]:
        """The scores as JSON: means over the fields, and each case."""
        card = self.model.card
        return {
            "model": {"name": card.name, "version": card.version},
            "sha256": card.sha256,
            "rule": RULE,
            "threshold": self.threshold,
            "border_threshold": self.border_threshold,
            "mean": self.figures(self.fields),
            "cases": {
                case: self.figures([field for field in self.fields if field.case == case])
                for case in sorted({field.case for field in self.fields})
            },
        }

    @property
    def border_threshold(self) -> float:
        """The value from which the target's map is a border."""
        return self.model.card.border_threshold or self.threshold

    def figures(self, fields: Sequence[SegmentedField]) -> dict[str, Any]:
        """Pixel error and, of two classes, the Rand score of the target's borders, mean over the fields; overlaps."""
        scored = [self._score(field) for field in fields]
        labels = [(field.truth, self.labels(field)) for field in fields]
        figures: dict[str, Any] = {"fields": len(fields), "pixel_error": _mean([error for error, _ in scored])}
        rands = [rand for _, rand in scored if rand is not None]
        if rands:
            figures["v_rand"] = _mean([rand.f1 for rand in rands])
            figures["v_rand_precision"] = _mean([rand.precision for rand in rands])
            figures["v_rand_recall"] = _mean([rand.recall for rand in rands])
        figures["iou"] = {name: round(_overlap(labels, label), 4) for label, name in enumerate(self.model.card.classes)}
        return figures

    def labels(self, field: SegmentedField) -> Labels:
        """The class of every pixel by the model."""
        return label_values(field.values, self.model.card, threshold=self.threshold)

    def _score(self, field: SegmentedField) -> tuple[float, RandScore | None]:
        labels, is_known = self.labels(field), field.truth != NO_CLASS
        error = pixel_error(labels[is_known], field.truth[is_known])
        if len(self.model.card.classes) != 2:
            return error, None
        is_border = field.truth == self.model.card.target_index
        return error, score_borders(field.values[0] >= self.border_threshold, is_border)


#: How the scores are computed.
RULE = "pixel error; foreground-restricted Rand score after border thinning (ISBI 2012), mean over fields"


def evaluate_segmentation(
    model: Model,
    fields: Sequence[LabelledField],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    **settings: Unpack[SettingsKeywords],
) -> SegmentationEvaluation:
    """Scan fields of which every pixel has a class, one by one, and score the segmentations.

    Parameters
    ----------
    model : Model
        Of the task "segmentation".
    fields : sequence of LabelledField
        With `pixel_classes`.
    on_progress : callable, optional
        Called with fields done and fields in all.
    **settings
        Settings of the scan. `threshold` overrides that of the card.

    Returns
    -------
    SegmentationEvaluation
    """
    segmented = []
    for done, field in enumerate(fields, start=1):
        segmented.append(segment_field(model, field, **settings))
        if on_progress is not None:
            on_progress(done, len(fields))
    threshold = settings.get("threshold")
    return SegmentationEvaluation(model, tuple(segmented), model.card.threshold if threshold is None else threshold)


def segment_field(model: Model, field: LabelledField, **settings: Unpack[SettingsKeywords]) -> SegmentedField:
    """The maps of a scan at every pixel of a field, with the labelled classes."""
    from scanner.scanning import scan  # Here: scan loads the slide readers, which the scores do not need.

    assert field.pixel_classes is not None
    chosen: SettingsKeywords = {"mpp": field.mpp, "tissue": False, **settings}
    result = scan(field.path, model, **chosen)
    whole = Box(0, 0, *result.map.shape)
    layers = [layer(whole) for layer in smoothed_layers(result.map, model.card)]
    rows, cols = _nearest(result.frame)
    values = np.stack([layer[rows[:, None], cols] for layer in layers])
    result.map.close()
    return SegmentedField(field.path.name, field.case, field.pixel_classes, values)


def choose_threshold(evaluation: SegmentationEvaluation, *, by_borders: bool) -> float:
    """The threshold chosen on these fields: of the least pixel error, or of the best borders."""
    border = evaluation.model.card.target_index
    pairs = [(field.values[0], field.truth == border) for field in evaluation.fields]
    return border_threshold(pairs, thresholds=THRESHOLDS, by_segments=by_borders)


def write_segmentation_evaluation(folder: Path, evaluation: SegmentationEvaluation) -> None:
    """Write evaluation.json, and fields.csv with a row for each field, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation.report(), indent=2) + "\n", encoding="utf-8")
    with (folder / "fields.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("field", "case", "pixel_error", "v_rand"))
        for field in evaluation.fields:
            figures = evaluation.figures([field])
            writer.writerow((field.name, field.case, figures["pixel_error"], figures.get("v_rand", "")))


def _nearest(frame: Frame) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The map row of each level-0 row, and the map column of each column: of the nearest scanned position."""
    rows, cols = (
        np.clip(np.rint([frame.map_from_level0(px) for px in range(size)]), 0, length - 1).astype(np.intp)
        for size, length in ((frame.level0_height, frame.map_height), (frame.level0_width, frame.map_width))
    )
    return rows, cols


def _overlap(labels: Sequence[tuple[Labels, Labels]], label: int) -> float:
    """Intersection over union of one class, all fields together; 1 where it is nowhere."""
    both = sum(int(((truth == label) & (found == label)).sum()) for truth, found in labels)
    either = sum(int((((truth == label) | (found == label)) & (truth != NO_CLASS)).sum()) for truth, found in labels)
    return both / either if either else 1.0


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4) if values else 0.0
