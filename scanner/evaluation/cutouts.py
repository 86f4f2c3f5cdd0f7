"""Recall on cut-out figures of other scanners, which have no tissue around them to count false positives in.

The cut-outs of one slide are laid side by side and scanned as one field. Its stain is measured on the rims of all of
them: half of a cut-out is figure, which its slide is not. A cut-out must reach as far around its figure as the network
sees; what is found at the seams does not count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image

from models import Model
from scanner.errors import SettingsError
from scanner.evaluation.folds import fold_without
from scanner.evaluation.intervals import Interval, interval_of_share
from scanner.evaluation.matching import FLOOR, FloatArray, best_scores
from scanner.evaluation.rules import Rule
from scanner.labels.fields import LabelledField, paint_figures_out, split_by_slide
from scanner.settings import ScanSettings, SettingsKeywords

if TYPE_CHECKING:
    from scanner.survey.stain import SlideStatistics


@dataclass(frozen=True)
class FoundFigures:
    """How many cut-out figures of one scanner a model finds at one threshold."""

    scanner: str
    found: int
    figures: int
    slides: int
    #: Bootstrap interval of the recall: slides are resampled.
    recall_interval: Interval

    @property
    def recall(self) -> float:
        """Share of the figures that are found."""
        return self.found / max(1, self.figures)


@dataclass(frozen=True)
class ScoredCutouts:
    """Cut-out figures of one scanner, and the score of the best candidate on each."""

    scanner: str
    #: Scores of the figures of each slide; 0 where nothing lies within the rule's radius.
    slides: tuple[FloatArray, ...]

    @property
    def scores(self) -> FloatArray:
        """Of all figures."""
        return np.concatenate([np.zeros(0), *self.slides])

    def found_at(self, threshold: float) -> FoundFigures:
        """Figures whose score is at least `threshold`, which is above 0."""
        found = [int((scores >= threshold).sum()) for scores in self.slides]
        figures = [len(scores) for scores in self.slides]
        interval = interval_of_share(found, figures)
        return FoundFigures(self.scanner, sum(found), sum(figures), len(self.slides), interval)


def score_unseen_cutouts(
    model: Model,
    folds: Sequence[Model],
    figures: Sequence[LabelledField],
    rule: Rule,
    **settings: Unpack[SettingsKeywords],
) -> tuple[ScoredCutouts, ...]:
    """Scan cut-out figures with weights that were trained on none of their scanner, as far as there are such.

    Each scanner that a fold held out whole is scored by that fold, all its slides; scanners that no fold held out are
    left out. A model whose folds held out none of the scanners scores the slides that its training held out, by itself;
    all slides if its card names none.

    Parameters
    ----------
    model : Model
    folds : sequence of Model
        Of the same recipe; the card of each names in `training.held_out` what it was trained without.
    figures : sequence of LabelledField
        As in `score_cutouts`.
    rule : Rule
    **settings
        Settings of the scan.
    """
    fold_of = {scanner: fold_without(folds, scanner) for scanner in sorted({one.source for one in figures})}
    if any(fold_of.values()):
        unseen = {scanner: fold for scanner, fold in fold_of.items() if fold is not None}
        own = ([one for one in figures if one.source == scanner] for scanner in unseen)
        scored = (score_cutouts(fold, of, rule, **settings) for fold, of in zip(unseen.values(), own, strict=True))
        return tuple(one for ones in scored for one in ones)
    held_out = split_by_slide(figures, model.card.training.get("figures_held_out", 0))[1]
    return score_cutouts(model, held_out or figures, rule, **settings)


def score_cutouts(
    model: Model, figures: Sequence[LabelledField], rule: Rule, **settings: Unpack[SettingsKeywords]
) -> tuple[ScoredCutouts, ...]:
    """Scan cut-out figures slide by slide, and score each by the best candidate on it, scanner by scanner.

    Parameters
    ----------
    model : Model
    figures : sequence of LabelledField
        One figure each; `case` is the slide, `source` the scanner. Cut-outs of one slide have one size and mpp.
    rule : Rule
    **settings
        Settings of the scan.

    Raises
    ------
    SettingsError
        Cut-outs of one slide differ in size.
    """
    slides: dict[tuple[str, str], list[LabelledField]] = defaultdict(list)
    for one in figures:
        slides[one.source, one.case].append(one)
    scores: dict[str, list[FloatArray]] = defaultdict(list)
    for (scanner, _), own in sorted(slides.items()):
        scores[scanner].append(_best_scores(model, own, rule, settings))
    return tuple(ScoredCutouts(scanner, tuple(of)) for scanner, of in sorted(scores.items()))


def lay_out(figures: Sequence[LabelledField]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Cut-outs side by side as one field, and where their figures are: (H, W, 3) and (row, col) of each, (N, 2)."""
    patches = [one.read() for one in figures]
    if len({patch.shape for patch in patches}) != 1:
        raise SettingsError(f"the cut-outs of slide {figures[0].case} differ in size")
    height, width, _ = patches[0].shape
    columns = math.ceil(math.sqrt(len(patches)))
    corners = [(index // columns * height, index % columns * width) for index in range(len(patches))]
    rows = math.ceil(len(patches) / columns)
    # What is left of the last row repeats the first cut-outs: white would be glass, which is no stain.
    canvas = np.concatenate(
        [np.concatenate([patches[(r * columns + c) % len(patches)] for c in range(columns)], 1) for r in range(rows)]
    )
    centres = [np.array(corner) + one.points[0] for corner, one in zip(corners, figures, strict=True)]
    return canvas, np.array(centres, dtype=np.float64)


def _best_scores(model: Model, figures: list[LabelledField], rule: Rule, settings: SettingsKeywords) -> FloatArray:
    # Here: they load the slide readers, which matching does not need.
    from scanner.scanning import prepare_slide, scan_prepared, survey_for_scan
    from scanner.survey.opening import opened_for

    canvas, centres = lay_out(figures)
    mpp = figures[0].mpp
    # A field of nothing but figures has no background to measure.
    keywords: SettingsKeywords = {"candidate_floor": FLOOR, **settings, "mpp": mpp, "background": False}
    chosen = ScanSettings(**keywords)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cutouts.png"
        Image.fromarray(canvas).save(path)
        with opened_for(path, model.card, chosen) as slide:
            survey = survey_for_scan(slide, model.card, chosen)
            if survey.statistics.stain is not None:
                survey = replace(survey, statistics=_statistics_of_rims(canvas, centres, mpp))
            result = scan_prepared(prepare_slide(slide, model, chosen, survey))
    result.map.close()
    places = np.array([(one.row, one.col) for one in result.candidates], dtype=np.float64).reshape(-1, 2)
    scores = np.array([one.score for one in result.candidates], dtype=np.float64)
    return best_scores(places * mpp, scores, centres * mpp, radius_um=rule.radius_um)


def _statistics_of_rims(canvas: npt.NDArray[np.uint8], centres: FloatArray, mpp: float) -> SlideStatistics:
    """What the tissue around the figures says of their slide's stain; of all of it where there is little."""
    from scanner.survey.stain import Block, stain_statistics

    statistics = stain_statistics([Block(paint_figures_out(canvas, centres, mpp=mpp))])
    return statistics if statistics.stain is not None else stain_statistics([Block(canvas)])
