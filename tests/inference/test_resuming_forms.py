"""A scan on a GPU that goes on, or that many hosts share, keeps to the form it began with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import Model
from scanner import scan
from scanner.cluster.bands import plan_bands, prepare_bands, score_band
from scanner.devices.gpu_forms import GpuForm
from scanner.errors import ScanCancelledError
from scanner.inference.form_choice import SET_UP
from scanner.maps.unfinished import WORK_NAME
from scanner.scanning import prepare_slide, scan_prepared
from scanner.settings import ScanSettings
from scanner.slides import open_slide
from tests.devices.gpu_failures import FakeCard
from tests.devices.test_gpu_forms import assert_same, card, measured, model, slide

__all__ = ["card", "model", "slide"]  # Fixtures.


def interrupted(slide: Path, model: Model, out: Path, **keywords: object) -> int:
    """A scan that ends after some tiles; returns how many are kept."""
    asked = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 8

    with pytest.raises(ScanCancelledError):
        measured(slide, model, out, should_stop=should_stop, **keywords)
    return len((out / WORK_NAME / "journal.jsonl").read_text().splitlines())


def test_a_scan_goes_on_in_the_form_it_began_with(card: FakeCard, slide: Path, model: Model, tmp_path: Path) -> None:
    done = interrupted(slide, model, tmp_path / "out")
    assert json.loads((tmp_path / "out" / WORK_NAME / "plan.json").read_text())["form"] == "triton-graph"
    card.fastest = GpuForm.FRAGMENTS
    (tmp_path / "cache" / "mitoscan" / "forms.json").unlink()
    card.launches.clear()
    seen = []
    found = measured(slide, model, tmp_path / "out", on_progress=seen.append)
    assert found.report["form"]["name"] == "triton-graph"
    assert seen[0].tiles_done == done + 1  # None of them was scored again.
    assert not card.launches[GpuForm.FRAGMENTS]
    assert_same(found, scan(slide, model, device="cpu", tile_size=32))


def test_a_form_that_has_ceased_to_work_gives_way_when_a_scan_goes_on(
    card: FakeCard, slide: Path, model: Model, tmp_path: Path
) -> None:
    done = interrupted(slide, model, tmp_path / "out")
    card.launches.clear()
    card.break_all("no compiler")
    seen = []
    found = measured(slide, model, tmp_path / "out", on_progress=seen.append)
    assert seen[0].tiles_done == done + 1
    assert "C compiler" in found.report["form"]["fallbacks"][0]
    assert_same(found, scan(slide, model, device="cpu", tile_size=32))


def test_who_asks_for_the_default_form_gets_no_tiles_of_another(
    card: FakeCard, slide: Path, model: Model, tmp_path: Path
) -> None:
    interrupted(slide, model, tmp_path / "out")
    seen = []
    found = scan(slide, model, tmp_path / "out", device="cpu", tile_size=32, on_progress=seen.append)
    assert found.report["form"]["name"] == "dilation"
    assert seen[0].tiles_done == 1


def test_all_bands_are_scored_in_the_form_that_the_first_host_has_chosen(
    card: FakeCard, slide: Path, model: Model, tmp_path: Path
) -> None:
    settings = ScanSettings(device="cpu", gpu_form="measured", tile_size=16)
    with open_slide(slide) as opened:
        prepared = prepare_slide(opened, model, settings)
        prepare_bands(prepared, tmp_path / "out")
        card.fastest, card.description = GpuForm.FRAGMENTS, ("Another GPU", "driver 2")
        card.launches.clear()
        for band in range(len(plan_bands(prepared))):
            score_band(prepared, tmp_path / "out", band, lambda _progress: None)
        result = scan_prepared(prepared, tmp_path / "out")
    assert result.report["form"]["name"] == "triton-graph"
    assert card.launches[GpuForm.TRITON_GRAPH] > SET_UP
    assert not card.launches[GpuForm.FRAGMENTS]
