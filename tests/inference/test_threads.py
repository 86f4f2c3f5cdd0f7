"""The shipped model finds the same, to the byte, with any number of threads and on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import Model, load_model
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.worklist import find_slides, plan_jobs
from scanner.cluster.cluster import scan_cluster
from scanner.detections.rescoring import averaged
from scanner.inference.scorer import prepare_scorer
from scanner.settings import SettingsKeywords
from tests.cluster.test_cluster import assert_same_results, with_ray
from tests.factories.slides import texture, write_pyramid

#: Low enough for a generated texture to have candidates that are scored a second time.
FLOOR = 0.005
KEYWORDS = SettingsKeywords(device="cpu", candidate_floor=FLOOR, workers=1)


@pytest.fixture(scope="module")
def model() -> Model:
    shipped = load_model("mitosis-1")
    return replace(shipped, card=replace(shipped.card, second_look=FLOOR))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for seed, (height, width) in enumerate([(333, 395), (150, 170)]):
        write_pyramid(folder / f"{seed}.svs", texture(height, width, seed=seed + 4), levels=1, compression="jpeg")
    return folder


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def scan_all(slides: Path, model: Model, out: Path, *, stride: int) -> Path:
    scan_batch(plan_jobs(find_slides([slides]), out), BatchOrder(model, {**KEYWORDS, "stride": stride}), out)
    assert (out / "0" / "candidates.csv").read_text().count("\n") > 4
    return out


@pytest.mark.parametrize("stride", [2, 8])
def test_the_number_of_threads_changes_no_byte(slides: Path, model: Model, tmp_path: Path, stride: int) -> None:
    found = []
    for count in (1, 2, 3, 4):  # From 4 on, each of two tiles at a time has several.
        torch.set_num_threads(count)
        found.append(scan_all(slides, model, tmp_path / f"{count}", stride=stride))
    for other in found[1:]:
        assert_same_results(other, found[0])


@with_ray
def test_a_cluster_of_this_machine_writes_the_bytes_of_the_plain_loop(
    slides: Path, model: Model, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    plain, out = scan_all(slides, model, tmp_path / "plain", stride=2), tmp_path / "cluster"
    order = BatchOrder(model, {**KEYWORDS, "stride": 2}, False)
    outcomes = scan_cluster(plan_jobs(find_slides([slides]), out), order, out, address="local")
    assert [str(outcome.status) for outcome in outcomes] == ["ok", "ok"]
    assert_same_results(out, plain)


def test_a_second_look_has_the_same_bits_with_any_number_of_threads(model: Model) -> None:
    scorer = averaged(prepare_scorer(model, None, stride=2))
    side = scorer.context_px + 10 * scorer.stride  # A candidate with its smoothing disk, as it is seen again.
    tiles = [texture(side, side, seed=seed, blob=7)[None] for seed in range(8)]
    torch.set_num_threads(1)
    expected = [scorer(tile) for tile in tiles]
    for count in (2, 3, 4):
        torch.set_num_threads(count)
        np.testing.assert_array_equal([scorer(tile) for tile in tiles], expected, err_msg=f"{count} threads")
