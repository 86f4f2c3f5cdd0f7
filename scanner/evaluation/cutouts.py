"""Recall on cut-out figures of other scanners, which have no tissue around them to count false positives in.

The cut-outs of one slide are laid side by side and scanned as one field, so that their stain is measured on all of
them. A cut-out must reach as far around its figure as the network sees; what is found at the seams does not count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image

from models import Model
from scanner.errors import SettingsError
from scanner.evaluation.rules import Rule
from scanner.labels.fields import LabelledField
from scanner.settings import SettingsKeywords


@dataclass(frozen=True)
class FoundFigures:
    """How many cut-out figures of one scanner a model finds."""

    scanner: str
    found: int
    figures: int
    slides: int

    @property
    def recall(self) -> float:
        """Share of the figures that are found."""
        return self.found / max(1, self.figures)


def score_cutouts(
    model: Model, figures: Sequence[LabelledField], rule: Rule, **settings: Unpack[SettingsKeywords]
) -> tuple[FoundFigures, ...]:
    """Scan cut-out figures slide by slide, and count those found at the threshold, scanner by scanner.

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
    found: dict[str, list[bool]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for (scanner, _), own in sorted(slides.items()):
        found[scanner] += _find(model, own, rule, settings)
        counts[scanner] += 1
    return tuple(FoundFigures(name, sum(hits), len(hits), counts[name]) for name, hits in sorted(found.items()))


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


def _find(model: Model, figures: list[LabelledField], rule: Rule, settings: SettingsKeywords) -> list[bool]:
    from scanner.scanning import scan  # Here: scan loads the slide readers, which matching does not need.

    canvas, centres = lay_out(figures)
    mpp = figures[0].mpp
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cutouts.png"
        Image.fromarray(canvas).save(path)
        # A field of nothing but figures has no background to measure.
        chosen: SettingsKeywords = {"mpp": mpp, "background": False, **settings}
        result = scan(path, model, **chosen)
    places = np.array([(one.row, one.col) for one in result.detections], dtype=np.float64).reshape(-1, 2)
    return [bool((np.linalg.norm(places - centre, axis=1) * mpp <= rule.radius_um).any()) for centre in centres]
