"""What vouches for the numbers of a scan: certificate, cost of reduced precision, tiles that do not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scanner.inference.certificates import certificate_for
from scanner.inference.precision import PrecisionCost, measure_precision
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.verify import Verification, verify_tiling
from scanner.maps.probability_map import ProbabilityMap


@dataclass(frozen=True)
class Checks:
    """What was checked of a scan."""

    #: The model's certificate of exactness, as run.json has it.
    certificate: dict[str, Any] | None = None
    #: None for a scan in float32.
    precision: PrecisionCost | None = None
    #: None unless the settings ask for it.
    verification: Verification | None = None


def check_scan(prepared: PreparedSlide, probability_map: ProbabilityMap) -> Checks:
    """Check the numbers of a scan whose map is finished."""
    places = prepared.settings.verify_places
    return Checks(
        certificate_for(prepared.model, prepared.frame.stride),
        measure_precision(prepared),
        verify_tiling(prepared, probability_map, places=places) if places else None,
    )
