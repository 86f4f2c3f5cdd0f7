"""A coarse look, then a close one: what is looked at closely has the full scan's values, and tiles do not show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import Model
from scanner import ScanResult, scan
from scanner.errors import SettingsError
from scanner.inference.coarse_to_fine import COARSE_STRIDE
from tests.factories.slides import texture
from tests.networks.small_models import dot_model, planted, random_model

#: Rounding of float32 sums in another order, on probabilities.
FLOAT32 = {"rtol": 0.0, "atol": 1e-5}
#: Some, not all, coarse px of the field reach it.
GATE = 0.8


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(patch_size=21)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields") / "field.png"
    Image.fromarray(texture(210, 190)).save(path)
    return path


@pytest.fixture(scope="module")
def full(field: Path, model: Model) -> ScanResult:
    return scan(field, model, stride=2, tissue=False, candidate_floor=GATE)


def look(field: Path, model: Model, **keywords: object) -> ScanResult:
    return scan(field, model, coarse_to_fine=True, tissue=False, **{"candidate_floor": GATE, **keywords})  # type: ignore[arg-type]


@pytest.mark.parametrize("tile_size", [40, 64, 2000])
def test_a_value_is_the_full_scans_or_nothing_whatever_the_tiles(
    field: Path, model: Model, full: ScanResult, tile_size: int
) -> None:
    found, expected = np.asarray(look(field, model, tile_size=tile_size).map), np.asarray(full.map)
    is_close = found > 0
    assert 0.05 < is_close.mean() < 0.95
    np.testing.assert_allclose(found[is_close], expected[is_close], **FLOAT32)
    np.testing.assert_array_equal(is_close, np.asarray(look(field, model, tile_size=104).map) > 0)


def test_a_figure_that_a_coarse_px_sees_is_found_with_the_same_score(tmp_path: Path) -> None:
    # 25 places relative to the cells.
    places = [(15 + 25 * row, 15 + 25 * col) for row in range(8) for col in range(8)]
    Image.fromarray(planted(216, 216, places)).save(tmp_path / "dots.png")
    model, floor = dot_model(), 0.1
    full = scan(tmp_path / "dots.png", model, stride=2, tissue=False, candidate_floor=floor)
    coarse = np.asarray(full.map)[:: COARSE_STRIDE // 2, :: COARSE_STRIDE // 2]
    hot = np.argwhere(coarse >= floor + 1e-4) * COARSE_STRIDE
    radius_px = model.card.smoothing_um / 0.25
    result = look(tmp_path / "dots.png", model, candidate_floor=floor)
    found = {(d.row, d.col): d.score for d in result.candidates}
    seen = 0
    for peak in full.candidates:
        if min(math.dist(place, (peak.row, peak.col)) for place in hot) <= radius_px:
            assert found[peak.row, peak.col] == pytest.approx(peak.score, abs=1e-5)
            seen += 1
    assert 5 < seen < len(full.candidates)
    assert (np.asarray(result.map) > 0).mean() < 0.7


def test_what_looks_like_a_figure_everywhere_is_scanned_everywhere(field: Path, model: Model) -> None:
    everywhere = look(field, model, candidate_floor=1e-6)
    np.testing.assert_allclose(
        np.asarray(everywhere.map), np.asarray(scan(field, model, stride=2, tissue=False).map), **FLOAT32
    )


def test_nothing_that_looks_like_a_figure_is_a_result(field: Path, model: Model) -> None:
    nothing = look(field, model, candidate_floor=1.0)
    assert nothing.candidates == ()
    assert not np.asarray(nothing.map).any()


def test_tiles_scanned_again_agree(field: Path, model: Model) -> None:
    again = look(field, model, tile_size=64, verify_places=4).verification
    assert again is not None
    assert again.holds


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"stride": 3}, "stride = 3 is no part of 8"), ({"engine": "patch"}, "coarse_to_fine = True")],
)
def test_what_makes_no_sense_is_refused(field: Path, model: Model, keywords: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        look(field, model, **keywords)
