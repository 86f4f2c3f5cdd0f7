"""Laws of the whole scan: what it says of a slide depends on the slide, the model and the settings, on nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from models import Model
from models.identity import contract_sha256
from models.pixel_tables import apply_table, normalisation_table
from scanner import ScanResult, scan
from scanner.errors import (
    InexactLayerError,
    OutputError,
    ResolutionError,
    SettingsError,
)
from scanner.inference.progress import Progress, Stage
from scanner.inference.scorer import target_probability
from tests.factories.slides import texture, write_pyramid
from tests.networks.reference import patch_by_patch
from tests.networks.small_models import dot_model, planted, random_model

#: Rounding of float32 sums in another order, on probabilities.
FLOAT32 = {"rtol": 0.0, "atol": 1e-5}
FILES = {"detections.geojson", "detections.csv", "map.ome.tiff", "overview.png", "run.json"}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "texture.svs"
    write_pyramid(path, texture(397, 331), levels=2, mpp=0.25, compression="jpeg")
    return path


def save(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def assert_same(result: ScanResult, expected: ScanResult) -> None:
    np.testing.assert_allclose(np.asarray(result.map), np.asarray(expected.map), **FLOAT32)
    places = [(d.row, d.col, d.label, d.border) for d in expected.detections]
    assert [(d.row, d.col, d.label, d.border) for d in result.detections] == places
    scores = [d.score for d in expected.detections]
    np.testing.assert_allclose([d.score for d in result.detections], scores, **FLOAT32)


@pytest.mark.parametrize("stain", [False, True])
def test_the_map_is_the_classifier_patch_by_patch_on_the_mirrored_slide(tmp_path: Path, stain: bool) -> None:
    model = random_model(patch_size=21, stain=stain)
    pixels = texture(47, 38)
    result = scan(save(tmp_path / "field.png", pixels), model, stride=1, tissue=False)
    mirrored = np.pad(pixels, ((10, 10), (10, 10), (0, 0)), mode="reflect")
    # The patch of pixel (r, c) starts at (r - P // 2, c - P // 2): P - 1 - P // 2 rows follow the centre.
    table = normalisation_table(model.card.normalisation)
    with torch.no_grad():
        logits = patch_by_patch(model.net, apply_table(torch.from_numpy(mirrored)[None], table), 21)
        expected = target_probability(logits, model.card)[0].numpy()
    np.testing.assert_allclose(np.asarray(result.map), expected, **FLOAT32)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tile_size=st.integers(20, 450),
    batch_size=st.integers(1, 3),
    workers=st.integers(1, 3),
    mpp=st.sampled_from([0.25, 0.2273, 0.4]),
    stride=st.sampled_from([1, 2, 3]),
)
def test_the_result_does_not_depend_on_tiles(
    slide: Path, tile_size: int, batch_size: int, workers: int, mpp: float, stride: int
) -> None:
    model = random_model()
    expected = scan(slide, model, mpp=mpp, stride=stride, tile_size=2000)
    result = scan(slide, model, mpp=mpp, stride=stride, tile_size=tile_size, batch_size=batch_size, workers=workers)
    assert expected.detections
    assert_same(result, expected)


def test_shifting_the_slide_by_a_pixel_shifts_the_map(tmp_path: Path) -> None:
    model, pixels = random_model(), texture(120, 110)
    whole = scan(save(tmp_path / "whole.png", pixels), model, stride=1, tissue=False)
    cut = scan(save(tmp_path / "cut.png", pixels[1:, 1:]), model, stride=1, tissue=False)
    inner = np.s_[15:-15, 15:-15]  # What sees the mirrored border differs.
    np.testing.assert_allclose(np.asarray(cut.map)[inner], np.asarray(whole.map)[1:, 1:][inner], **FLOAT32)


@pytest.mark.parametrize("tile_size", [32, 50, 64, 97, 1024])
@pytest.mark.parametrize("stride", [1, 2])
def test_planted_figures_are_each_found_once(tmp_path: Path, tile_size: int, stride: int) -> None:
    inside = [(32, 32), (64, 100), (50, 64), (96, 97), (128, 33), (97, 150), (20, 160), (150, 120)]
    at_edges = [(4, 90), (165, 64), (70, 4), (110, 175), (5, 5), (164, 174)]
    places = inside + at_edges
    path = save(tmp_path / "planted.png", planted(170, 180, places))
    result = scan(path, dot_model(), stride=stride, tile_size=tile_size)
    found = np.array([(d.row, d.col) for d in result.detections])
    assert len(found) == len(places)
    distances = np.linalg.norm(np.array(places)[:, None] - found[None], axis=2)
    np.testing.assert_array_equal((distances <= 1.5 * stride).sum(axis=1), 1)


def test_a_figure_on_the_true_border_is_marked_and_not_counted(tmp_path: Path) -> None:
    path = save(tmp_path / "border.png", planted(100, 100, [(1, 50), (60, 60)]))
    result = scan(path, dot_model(), tile_size=40)
    assert [d.border for d in sorted(result.detections, key=lambda d: d.row)] == [True, False]
    assert result.report["count"] == 1
    assert result.report["counts"]["on_border"] == 1


@pytest.mark.parametrize("mpp", [0.125, 0.2, 0.26, 0.5])
def test_detections_lie_at_level_0_whatever_the_resampling(tmp_path: Path, mpp: float) -> None:
    grid_places = [(40, 50), (80, 120), (130, 60)]
    scale = 0.25 / mpp
    pixels = planted(170, 180, grid_places)
    size = (round(180 * scale), round(170 * scale))
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(tmp_path / "scaled.png")
    result = scan(tmp_path / "scaled.png", dot_model(), mpp=mpp)
    found = sorted((d.row, d.col) for d in result.detections)
    expected = [((row + 0.5) * scale - 0.5, (col + 0.5) * scale - 0.5) for row, col in grid_places]
    np.testing.assert_allclose(found, expected, atol=max(1.0, scale) + 0.5)
    for detection in result.detections:
        assert detection.row_um == pytest.approx(detection.row * mpp)


def test_the_files_of_a_scan_are_there_and_the_same_every_time(slide: Path, tmp_path: Path) -> None:
    model = random_model()
    for name, tile_size in (("a", 64), ("b", 64)):
        scan(slide, model, tmp_path / name, tile_size=tile_size).map.close()
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names >= FILES
    assert not any(name.startswith(".") for name in names)
    for name in names - {"run.json"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    first, second = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("a", "b"))
    for report in (first, second):
        del report["timing"], report["finished"]
    assert first == second


def test_the_report_says_what_was_done(slide: Path, tmp_path: Path) -> None:
    model = random_model()
    result = scan(slide, model, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report == json.loads(json.dumps(result.report))
    identity = {"name": "random", "version": "1", "sha256": ""}
    assert report["model"] == identity | {"contract_sha256": contract_sha256(random_model().card)}
    assert report["mpp"] == 0.25
    assert report["mpp_source"] == "aperio description"
    assert set(report["timing"]) >= {"read", "net", "post", "total"}
    assert set(report["area_mm2"]) >= {"tissue", "scanned", "unreadable"}
    assert report["count"] == sum(not d.border for d in result.detections)
    assert report["settings"]["stride"] == 2
    assert "Research use only" in report["notice"]


def test_a_field_without_resolution_is_taken_at_the_models_mpp(tmp_path: Path) -> None:
    result = scan(save(tmp_path / "field.png", texture(60, 60)), random_model())
    assert result.report["mpp_source"] == "assumed"
    assert result.report["mpp"] == 0.25


def test_a_slide_too_coarse_for_the_model_is_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "coarse.svs", texture(64, 64), levels=1, mpp=8.0)
    with pytest.raises(ResolutionError, match="8 um/px is too coarse"):
        scan(tmp_path / "coarse.svs", random_model())


def test_the_threshold_divides_candidates_from_detections(slide: Path) -> None:
    low, high = (scan(slide, random_model(), threshold=threshold) for threshold in (0.3, 0.7))
    assert low.candidates == high.candidates
    assert [d for d in low.detections if d.score >= 0.7] == list(high.detections)
    assert len(low.detections) > len(high.detections) > 0


def test_an_empty_slide_is_a_result_without_detections(tmp_path: Path) -> None:
    path = save(tmp_path / "glass.png", np.full((300, 200, 3), 245, np.uint8))
    result = scan(path, random_model(), tmp_path / "out")
    assert result.detections == ()
    assert result.report["area_mm2"]["tissue"] == 0
    assert result.report["count_per_mm2"] == 0
    assert not np.asarray(result.map).any()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= FILES


def test_glass_is_not_scanned_and_does_not_move_with_the_tiles(tmp_path: Path) -> None:
    pixels = np.full((600, 700, 3), 245, np.uint8)
    pixels[100:330, 150:420] = texture(230, 270)
    path = save(tmp_path / "island.png", pixels)
    maps = [np.asarray(scan(path, random_model(), tile_size=size).map) for size in (64, 150, 1024)]
    assert 0 < np.count_nonzero(maps[0]) < maps[0].size
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], **FLOAT32)


def test_progress_ends_with_everything_done(slide: Path) -> None:
    seen: list[Progress] = []
    scan(slide, random_model(), tile_size=100, on_progress=seen.append)
    scored = [p.tiles_done for p in seen if not p.is_after_network]
    assert scored == list(range(1, len(scored) + 1))
    assert seen[-1].tiles_done == seen[-1].tiles_total
    assert seen[-1].mm2_done == pytest.approx(seen[-1].mm2_total)
    after = seen[len(scored) :]
    assert list(dict.fromkeys(p.stage for p in after)) == [Stage.FIGURES, Stage.CHECKS, Stage.FILES]
    assert all(p.tiles_done == p.tiles_total and 0 <= p.stage_share <= 1 for p in after)


def test_a_classifier_that_cannot_be_dense_runs_patch_by_patch_when_asked(tmp_path: Path) -> None:
    inner = random_model(patch_size=13)
    net = torch.nn.Sequential(torch.nn.InstanceNorm2d(3), inner.net).eval()
    model = Model(inner.card, net)
    path = save(tmp_path / "field.png", texture(30, 30))
    with pytest.raises(InexactLayerError):
        scan(path, model)
    result = scan(path, model, engine="patch", stride=4, tissue=False)
    assert np.asarray(result.map).shape == (8, 8)


@pytest.mark.parametrize(
    "keywords",
    [{"stride": 0}, {"threshold": 1.5}, {"mpp": -1.0}, {"workers": 0}, {"engine": "fast"}, {"device": "quantum"}],
)
def test_impossible_settings_are_refused_by_name(slide: Path, keywords: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(keywords))):
        scan(slide, random_model(), **keywords)  # type: ignore[arg-type]


def test_an_output_folder_that_cannot_be_made_is_an_error_of_its_own(slide: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        scan(slide, random_model(), tmp_path / "file")
