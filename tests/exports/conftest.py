"""A finished scan, made by hand, to be exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scanner.detections import Detection
from scanner.geometry import Box, Frame
from scanner.hotspots import find_hotspots
from scanner.result import ScanResult
from scanner.tissue import find_tissue
from scanner.windows import Window
from tests.array_slide import ArraySlide
from tests.exports.stored_map import stored_map
from tests.slides_factory import texture

#: Row, col, score and whether on the border, in level-0 px.
FOUND = ((200, 300, 0.93, False), (210, 600, 0.71, False), (4, 400, 0.62, True))
UNREADABLE = Box(96, 32, 128, 64)


@pytest.fixture
def slide() -> ArraySlide:
    """600 x 900 px of 0.25 um; the right third is glass."""
    pixels = texture(600, 900)
    pixels[:, 640:] = 243
    return ArraySlide([pixels])


@pytest.fixture
def result(slide: ArraySlide, tmp_path: Path) -> Iterator[ScanResult]:
    """Three detections on a map of 150 x 225 px, with a hotspot and an unreadable box."""
    frame = Frame(600, 900, level0_mpp=0.25, grid_mpp=0.25, stride=4)
    rows, cols = np.mgrid[:150, :225]
    values = np.zeros((150, 225), np.float32)
    for row, col, score, _ in FOUND:
        values += (score * np.exp(-((rows - row / 4) ** 2 + (cols - col / 4) ** 2) / 12)).astype(np.float32)
    detections = tuple(
        Detection(row, col, row * 0.25, col * 0.25, score, "mitosis", border) for row, col, score, border in FOUND
    )
    tissue = find_tissue(slide, frame).without([UNREADABLE])
    hotspots = find_hotspots(detections, tissue, window=Window(0.003))
    probability_map = stored_map(tmp_path / "scan", frame, values)
    yield ScanResult(detections, detections, hotspots, probability_map, {}, tissue, (UNREADABLE,))
    probability_map.close()
