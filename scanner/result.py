"""The result of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scanner.detections.background import Background
from scanner.detections.detection import Detection
from scanner.detections.figures import Figures
from scanner.detections.hotspots import Hotspot
from scanner.geometry.frames import Box, Frame
from scanner.inference.checks import Checks
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.verify import Verification
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.segmentation import Segmentation
from scanner.survey.tissue import TissueMask


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
    tissue: TissueMask
    #: Map boxes whose pixels could not be read.
    unreadable: tuple[Box, ...]
    #: Subtracted from the scores; None where the card or the settings ask for nothing.
    background: Background | None = None
    #: The class of every position, from models whose task that is; they give no detections.
    segmentation: Segmentation | None = None
    #: The classes of the map's layers.
    mapped: tuple[str, ...] = ("mitosis",)
    #: What vouches for the numbers.
    checks: Checks = field(default_factory=Checks)
    #: The content of run.json.
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def frame(self) -> Frame:
        """Where grid and map lie on the slide."""
        return self.map.frame

    @property
    def verification(self) -> Verification | None:
        """What a second scan of some places with other tiles gave, if it was asked for."""
        return self.checks.verification


def result_of(
    prepared: PreparedSlide,
    figures: Figures,
    checks: Checks,
    *,
    probability_map: ProbabilityMap,
    unreadable: tuple[Box, ...],
) -> ScanResult:
    """The result of a scan whose figures are found, without its report."""
    return ScanResult(
        figures.detections,
        figures.candidates,
        figures.hotspots,
        probability_map,
        figures.tissue,
        unreadable,
        figures.background,
        figures.segmentation,
        prepared.model.card.mapped,
        checks,
    )
