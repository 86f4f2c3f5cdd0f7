"""Do two forms, precisions or devices give the same scores? Logits of one tile, compared at a named tolerance."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from torch import Tensor

from scanner.devices.device_queue import Pixels
from scanner.geometry.arrays import FloatMap
from scanner.inference.scorer import Scorer

#: Largest difference of a logit that is let pass, relative to 1 + the largest logit.
TOLERANCES = {"float32": 1e-5, "tf32": 0.02, "bfloat16": 0.05}


class WrongScoresError(Exception):
    """A form's scores are not those of the default form."""


def refuse_other_scores(found: FloatMap, expected: FloatMap, precision: str, source: str) -> float:
    """The largest difference of two maps of logits, if there is none but rounding; else WrongScoresError."""
    if not np.isfinite(found).all():
        raise WrongScoresError("scores that are not finite")
    if found.shape != expected.shape:
        raise WrongScoresError(f"scores of shape {found.shape}, not {expected.shape}")
    difference = float(np.abs(found - expected).max())
    allowed = TOLERANCES[precision] * (1 + float(np.abs(expected).max()))
    if difference > allowed:
        raise WrongScoresError(f"logits off by {difference:.1e} from those of {source}, {allowed:.1e} are allowed")
    return difference


class LogitScorer(Scorer):
    """A scorer that says logits: near 0 and 1, probabilities hide what is wrong."""

    def probability(self, logits: Tensor) -> Tensor:
        """(N, classes, rows, cols), float32."""
        return logits.float()


def as_logits(scorer: Scorer) -> LogitScorer:
    """The scorer that says logits."""
    return LogitScorer(**{field.name: getattr(scorer, field.name) for field in fields(Scorer)})


def probe_pixels(shape: tuple[int, ...]) -> Pixels:
    """Noise in blocks and in single pixels, the same every time: patches that differ, at several scales."""
    rng = np.random.default_rng(14)
    count, height, width, channels = shape
    coarse = rng.integers(0, 200, (count, -(-height // 16), -(-width // 16), channels), np.uint8)
    blocks = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    pixels: Pixels = blocks + rng.integers(0, 56, shape, np.uint8)
    return pixels
