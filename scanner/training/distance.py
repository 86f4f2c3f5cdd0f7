"""How much one trained model differs from another: in its weights, and in its detections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models import Model
from scanner.evaluation.matching import pair_up
from scanner.labels.fields import LabelledField

#: Two detections this near to each other are the same.
SAME_UM = 8.0
#: Fields that are scanned by both, evenly spread over those given.
FIELDS = 8


@dataclass(frozen=True)
class Distance:
    """Of a model from a reference."""

    #: Norm of the weights' difference over the norm of the reference's; None where the networks differ.
    weights: float | None
    #: Detections of the two on the same fields, and how many both have.
    found: int
    found_by_reference: int
    shared: int

    def __str__(self) -> str:
        weights = "other networks" if self.weights is None else f"weights {self.weights:.1%} away"
        found = f"{self.found} detections and {self.found_by_reference} of the reference"
        return f"{weights}; {found}, {self.shared} in common"


def measure_distance(model: Model, reference: Model, fields: Sequence[LabelledField], *, device: str) -> Distance:
    """Compare two models by their weights and by scans of a few fields, each at its own threshold."""
    from scanner.scanning import scan  # Here: scan loads the slide readers, which the weights do not need.

    chosen = [fields[index] for index in sorted({round(i * (len(fields) - 1) / (FIELDS - 1)) for i in range(FIELDS)})]
    found = reference_found = shared = 0
    for field in chosen:
        places = [
            np.array([(d.row_um, d.col_um) for d in scan(field.path, one, mpp=field.mpp, device=device).detections])
            for one in (model, reference)
        ]
        found, reference_found = found + len(places[0]), reference_found + len(places[1])
        shared += count_shared(places[0].reshape(-1, 2), places[1].reshape(-1, 2))
    return Distance(_weights_apart(model, reference), found, reference_found, shared)


def count_shared(first: np.ndarray, second: np.ndarray) -> int:
    """Pairs of places (N, 2) and (M, 2), in micrometres, at most SAME_UM apart, each used once, in order of `first`."""
    return int((pair_up(first, second, radius_um=SAME_UM) >= 0).sum())


def _weights_apart(model: Model, reference: Model) -> float | None:
    own, theirs = (dict(one.net.named_parameters()) for one in (model, reference))
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in theirs.items()}:
        return None
    apart = sum(float((own[name] - theirs[name]).detach().double().square().sum()) for name in own)
    return math.sqrt(apart / sum(float(value.detach().double().square().sum()) for value in theirs.values()))
