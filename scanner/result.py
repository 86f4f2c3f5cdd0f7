"""What travels through a scan: the prepared slide, its progress, its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.registry import Model
from scanner.detections.detection import Detection
from scanner.detections.hotspots import Hotspot
from scanner.geometry.frames import Box, Frame
from scanner.inference.scorer import Scorer
from scanner.maps.segmentation import Segmentation
from scanner.maps.store import ProbabilityMap
from scanner.settings import ScanSettings, reader_count
from scanner.slides import Slide
from scanner.slides.pixels.grid import Grid
from scanner.survey.stain import SlideStatistics
from scanner.survey.tissue import TissueMask


@dataclass(frozen=True)
class Progress:
    """How far a scan is."""

    tiles_done: int
    tiles_total: int
    #: Scanned area so far, and in all.
    mm2_done: float
    mm2_total: float
    #: What is going on, of `scanner.inference.stages.Stage`, and how much of it is done, if it comes after the network.
    stage: str = "network"
    stage_share: float = 0.0

    @property
    def is_after_network(self) -> bool:
        """True once all tiles are scored."""
        return self.stage != "network"


@dataclass(frozen=True)
class Verification:
    """Some places of a slide scanned a second time, with other tiles."""

    #: Compared; those that could not be read are not among them.
    places: int
    #: Map px in them.
    map_px: int
    #: Largest difference of a probability.
    max_difference: float
    #: Differences up to this are rounding.
    tolerance: float

    @property
    def holds(self) -> bool:
        """True if no seam of the tiles shows."""
        return self.max_difference <= self.tolerance


@dataclass(frozen=True)
class Background:
    """What tissue without figures scores on a slide."""

    #: The card's quantile of the sampled positions' logits.
    score: float
    #: Tissue that was sampled.
    area_mm2: float
    #: Taken off the logit of every score.
    shift: float


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Watch:
    """The caller's ears and brakes."""

    on_progress: OnProgress
    should_stop: ShouldStop


@dataclass(frozen=True)
class Survey:
    """What must be known of a slide before the network runs, and needs none."""

    frame: Frame
    mpp_source: str
    grid: Grid
    tissue: TissueMask
    #: The same without a mask.
    whole_tissue: TissueMask
    #: Blocks in grid px that stand for the whole slide: its stain and its background are measured on them.
    sample: tuple[Box, ...]
    statistics: SlideStatistics
    #: Time that all this took.
    seconds: float


@dataclass(frozen=True)
class PreparedSlide:
    """A slide and a network that is ready for it."""

    slide: Slide
    model: Model
    settings: ScanSettings
    frame: Frame
    #: Where the level-0 mpp comes from.
    mpp_source: str
    grid: Grid
    tissue: TissueMask
    whole_tissue: TissueMask
    sample: tuple[Box, ...]
    statistics: SlideStatistics
    scorer: Scorer
    #: Side of a tile, in grid px.
    tile_side: int
    #: Time that all this took.
    seconds: float

    @property
    def readers(self) -> int:
        """Threads that read ahead."""
        return reader_count(self.settings, self.scorer.device.type)

    @property
    def threshold(self) -> float:
        """The threshold in force."""
        return self.model.card.threshold if self.settings.threshold is None else self.settings.threshold


@dataclass(frozen=True)
class ScanResult:
    """Everything found on one slide.

    Examples
    --------
    >>> from models import load_model
    >>> from scanner import scan
    >>> result = scan("examples/CMU-1-Small-Region.svs", load_model("mitosis-1"), stride=64)
    >>> result.report["mpp"], result.map.shape
    (0.499, (93, 70))
    >>> all(one.score >= 0.3 for one in result.detections)
    True
    """

    #: At or above the threshold, best first. Those on the slide's true border are marked, and not counted.
    detections: tuple[Detection, ...]
    #: Every peak down to the candidate floor, best first: another threshold needs no other scan.
    candidates: tuple[Detection, ...]
    hotspots: tuple[Hotspot, ...]
    #: Probability of the model's target class; `np.asarray(result.map)` is float32 (rows, cols), of several classes
    #: (classes, rows, cols).
    map: ProbabilityMap
    #: The content of run.json.
    report: dict[str, Any]
    tissue: TissueMask
    #: Map boxes whose pixels could not be read.
    unreadable: tuple[Box, ...]
    #: What was taken off the scores; None where the card or the settings ask for nothing.
    background: Background | None = None
    #: What a second scan of some places with other tiles gave, if it was asked for.
    verification: Verification | None = None
    #: The class of every position, from models whose task that is; they give no detections.
    segmentation: Segmentation | None = None
    #: The classes of the map's layers.
    mapped: tuple[str, ...] = ("mitosis",)

    @property
    def frame(self) -> Frame:
        """Where grid and map lie on the slide."""
        return self.map.frame
