"""A slide and a network that is ready for it: what every stage from the network on is given."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from models.registry import Model
from scanner.geometry.frames import Frame
from scanner.inference.coarse_to_fine import coarse_to_fine
from scanner.inference.memory import choose_tile_side
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.settings import ScanSettings, reader_count, scan_stride
from scanner.slides import Slide
from scanner.stage_clock import Spent, StageClock
from scanner.survey.survey import Survey

#: The stage before the network: what is known of a slide without it.
SURVEY = "survey"


@dataclass(frozen=True)
class PreparedSlide:
    """A surveyed slide and a network that is ready for it."""

    slide: Slide
    model: Model
    settings: ScanSettings
    survey: Survey
    scorer: Scorer
    #: Side of a tile, in grid px.
    tile_side: int
    #: Stages before that of the network, and what they took.
    spent: Mapping[str, Spent]

    @property
    def frame(self) -> Frame:
        """Where grid and map lie on the slide."""
        return self.survey.frame

    @property
    def readers(self) -> int:
        """Threads that read ahead."""
        return reader_count(self.settings, self.scorer.device.type)

    @property
    def threshold(self) -> float:
        """The threshold in force."""
        return self.model.card.threshold if self.settings.threshold is None else self.settings.threshold


def prepare_slide(
    slide: Slide, model: Model, settings: ScanSettings, survey: Survey, *, scorer: Scorer | None = None
) -> PreparedSlide:
    """Make the model's network ready for a surveyed slide.

    `scorer` is that of these settings' `prepare_network`, which serves any number of slides.
    """
    clock = StageClock(SURVEY, {SURVEY: survey.spent}, processor=time.thread_time)
    scorer = (scorer or prepare_network(model, settings)).of_slide(str(slide.path), survey.statistics.stain)
    if settings.coarse_to_fine:
        smoothing_px = model.card.smoothing_um / survey.frame.grid_mpp
        scorer = coarse_to_fine(scorer, model, gate=settings.candidate_floor, smoothing_px=smoothing_px)
    side = choose_tile_side(scorer, settings, survey.frame.stride)
    return PreparedSlide(slide, model, settings, survey, scorer, side, spent=clock.spent())


def prepare_network(model: Model, settings: ScanSettings) -> Scorer:
    """The model's network as these settings want it, for whatever slide."""
    stride = scan_stride(settings, model.card.stride)
    return prepare_scorer(
        model, None, stride=stride, device=settings.device, engine=settings.engine, precision=settings.precision
    )
