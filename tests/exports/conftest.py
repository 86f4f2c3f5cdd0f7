"""A finished scan, made by hand, to be exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scanner.detections.detection import Detection
from scanner.detections.hotspots import find_hotspots
from scanner.exports.report import describe_result
from scanner.geometry.frames import Box
from scanner.geometry.windows import Window
from scanner.inference.checks import check_scan
from scanner.inference.prepared_slide import PreparedSlide
from scanner.result import ScanResult
from scanner.scanning import prepare_slide
from scanner.settings import ScanSettings
from tests.exports.stored_map import stored_map
from tests.factories.array_slide import ArraySlide
from tests.factories.slides import texture
from tests.networks.small_models import random_model

#: Row, col, score and whether on the border, in level-0 px.
FOUND = ((200, 300, 0.93, False), (210, 600, 0.71, False), (4, 400, 0.62, True))
UNREADABLE = Box(96, 32, 128, 64)


@pytest.fixture
def slide(tmp_path: Path) -> ArraySlide:
    """600 x 900 px of 0.25 um; the right third is glass."""
    pixels = texture(600, 900)
    pixels[:, 640:] = 243
    made = ArraySlide([pixels])
    made.path = tmp_path / made.path
    made.path.write_bytes(b"a slide is known by its bytes")
    return made


@pytest.fixture
def prepared(slide: ArraySlide) -> PreparedSlide:
    """The slide, ready to be scanned by a model with a stride of 4 px."""
    return prepare_slide(slide, random_model(stride=4), ScanSettings(hotspot="0.003"))


@pytest.fixture
def result(prepared: PreparedSlide, tmp_path: Path) -> Iterator[ScanResult]:
    """Three detections on a map of 150 x 225 px, with a hotspot and an unreadable box."""
    frame = prepared.frame
    rows, cols = np.mgrid[:150, :225]
    values = np.zeros((150, 225), np.float32)
    for row, col, score, _ in FOUND:
        values += (score * np.exp(-((rows - row / 4) ** 2 + (cols - col / 4) ** 2) / 12)).astype(np.float32)
    detections = tuple(
        Detection(row, col, row * 0.25, col * 0.25, score, "mitosis", border) for row, col, score, border in FOUND
    )
    tissue = prepared.survey.tissue.without([UNREADABLE])
    hotspots = find_hotspots(detections, tissue, window=Window(0.003))
    probability_map = stored_map(tmp_path / "scan", frame, values)
    found = ScanResult(
        detections,
        detections,
        hotspots,
        probability_map,
        tissue,
        (UNREADABLE,),
        checks=check_scan(prepared, probability_map),
    )
    yield replace(found, report=describe_result(prepared, found))
    probability_map.close()
