"""An estimate says of a slide what its scan says afterwards, and scans nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from models import save_model
from scanner import scan
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.estimate import Estimator, state_memory, time_network
from scanner.batch.worklist import Job
from scanner.errors import ResolutionError, SettingsError
from scanner.inference.progress import Progress
from scanner.inference.scorer import prepare_scorer
from scanner.settings import SettingsKeywords
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

KEYWORDS = SettingsKeywords(device="cpu", tile_size=128)


@pytest.fixture
def order(tmp_path: Path) -> BatchOrder:
    return BatchOrder(save_model(tmp_path / "model", random_model()), KEYWORDS, False)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A slide that is glass but for a corner."""
    pixels = np.full((600, 500, 3), 245, np.uint8)
    pixels[:250, :200] = texture(250, 200)
    write_pyramid(tmp_path / "a.svs", pixels, levels=2)
    return Job(tmp_path / "a.svs", tmp_path / "out" / "a")


def test_an_estimate_is_what_the_scan_says_afterwards(order: BatchOrder, job: Job) -> None:
    estimate = Estimator(order).estimate(job)
    assert not job.folder.parent.exists()
    seen: list[Progress] = []
    result = scan(job.slide, order.model, on_progress=seen.append, **KEYWORDS)
    expected = [result.report["area_mm2"][name] for name in ("slide", "tissue", "scanned")]
    assert [estimate.slide_mm2, estimate.tissue_mm2, estimate.scan_mm2] == expected
    assert 0 < estimate.tissue_mm2 < estimate.scan_mm2 < estimate.slide_mm2
    assert estimate.tiles == seen[-1].tiles_total
    assert estimate.grid == (600, 500)
    assert estimate.seconds > 0


def test_a_slide_that_is_done_costs_nothing(order: BatchOrder, job: Job) -> None:
    scan_batch([job], BatchOrder(order.model, KEYWORDS), job.folder.parent)
    estimate = Estimator(order).estimate(job)
    assert (estimate.is_done, estimate.tiles, estimate.seconds) == (True, 0, 0.0)


def test_glass_has_no_tiles(order: BatchOrder, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "glass.svs", np.full((300, 300, 3), 245, np.uint8), levels=2)
    estimate = Estimator(order).estimate(Job(tmp_path / "glass.svs", tmp_path / "out"))
    assert (estimate.tiles, estimate.tissue_mm2) == (0, 0.0)


def test_what_a_scan_would_fail_with_is_raised(order: BatchOrder, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "silent.svs", texture(300, 300), levels=2, mpp=None)
    with pytest.raises(ResolutionError, match="--mpp"):
        Estimator(order).estimate(Job(tmp_path / "silent.svs", tmp_path / "out"))


def test_memory_is_stated_for_tile_and_device(order: BatchOrder) -> None:
    statement = state_memory(order)
    assert (statement.device, statement.tile_side) == ("cpu", 128)
    larger = state_memory(BatchOrder(order.model, KEYWORDS | {"tile_size": 512}, False))
    assert larger.bytes > statement.bytes
    with pytest.raises(SettingsError, match="toaster"):
        state_memory(BatchOrder(order.model, KEYWORDS | {"device": "toaster"}, False))


@pytest.mark.parametrize("engine", ["dense", "patch"])
def test_a_network_is_timed_on_one_tile(engine: str) -> None:
    scorer = prepare_scorer(random_model(), None, stride=4, device="cpu", engine=engine)
    assert 0 < time_network(scorer, 256, 4) < 600


def test_a_network_is_warm_before_it_is_timed() -> None:
    class Lazy(nn.Module):
        """Sets itself up for a long time, once."""

        stride, calls = 4, 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            time.sleep(0.5 if self.calls == 1 else 0.0)
            return net(images)

    scorer = prepare_scorer(random_model(), None, stride=4, device="cpu")
    net = scorer.net
    assert time_network(replace(scorer, net=Lazy()), 64, 4) < 0.25
