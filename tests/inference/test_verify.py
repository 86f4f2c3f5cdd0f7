"""A second scan of some places with shifted tiles: equal where tiles do not show, and it would see a seam."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scanner import scan
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile
from scanner.inference.verify import TOLERANCE, choose_places, verify_tiling
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.store import MapStore
from scanner.scanning import prepare_slide
from scanner.settings import ScanSettings
from scanner.slides import open_slide
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_pyramid(tmp_path / "a.svs", texture(300, 260), levels=2)
    return tmp_path / "a.svs"


def test_a_verified_scan_says_so_in_its_report(slide: Path, tmp_path: Path) -> None:
    result = scan(slide, random_model(), tmp_path / "out", tile_size=64, verify_places=5)
    said = json.loads((tmp_path / "out" / "run.json").read_text())["verification"]
    assert (said["places"], said["holds"], said["tolerance"]) == (5, True, TOLERANCE)
    assert 0 <= said["max_difference"] <= TOLERANCE
    assert result.verification is not None
    assert said["map_px"] == result.verification.map_px > 5 * 16


def test_a_scan_is_not_verified_unasked(slide: Path) -> None:
    result = scan(slide, random_model())
    assert result.verification is None
    assert "verification" not in result.report


def test_a_slide_of_one_tile_has_one_place(slide: Path) -> None:
    verification = scan(slide, random_model(), verify_places=5).verification
    assert verification is not None
    assert (verification.places, verification.holds) == (1, True)


def test_a_seam_is_seen(slide: Path, tmp_path: Path) -> None:
    model, settings = random_model(), ScanSettings(tile_size=64)
    with open_slide(slide) as opened:
        prepared = prepare_slide(opened, model, settings)
        store = MapStore.open(tmp_path / "work", prepared.frame, chunk_side=32, plan={})
        result = scan(opened, model, tile_size=64)
        seamed = np.asarray(result.map).copy()
        seamed[32] += 0.01  # a row along the border of two tiles
        rows, cols = seamed.shape
        store.write(Tile(0, Box(0, 0, rows, cols), Box(0, 0, 1, 1)), seamed[None], [])
        verification = verify_tiling(prepared, ProbabilityMap(store), places=20)
    assert not verification.holds
    assert verification.max_difference == pytest.approx(0.01, abs=1e-4)


def test_places_are_the_same_every_time_and_lie_across_tiles(slide: Path) -> None:
    with open_slide(slide) as opened:
        prepared = prepare_slide(opened, random_model(), ScanSettings(tile_size=64))
        places = choose_places(prepared, 8)
        assert choose_places(replace(prepared), 8) == places
    assert len(set(places)) == 8
    frame = prepared.frame
    for box in places:
        assert box == box.clipped(frame.map_height, frame.map_width)
        assert box.top % 32 or box.left % 32 or box.height < 32 or box.width < 32
