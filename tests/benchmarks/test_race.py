"""A bench measures what it says: the same scores by every way, and times that are comparable."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from benchmarks.dense.contestants import PLAIN_LOOP
from benchmarks.dense.loops import monai_loop
from benchmarks.dense.measure import Case, measure
from benchmarks.dense.peers import peers
from benchmarks.dense.race import Entry, race
from benchmarks.dense.report import markdown_of_race
from benchmarks.dense.run import BenchSettings, run_bench
from benchmarks.dense.subjects import Subject, subjects
from scanner.dense import score_patches
from scanner.errors import SettingsError

#: Rounding of float32 sums in another order, on logits of order 1.
CLOSE = 1e-5
#: Eight bits of precision, on the same logits.
HALF = 0.05


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(2)
    layers = [nn.Conv2d(3, 8, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 2), nn.ReLU(), nn.MaxPool2d(2)]
    return Subject("small", nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 4, 2)).eval(), 13)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_way_gives_the_same_scores(subject: Subject, stride: int) -> None:
    found = race(subject, stride, 48, rounds=1, entry=Entry((4, 16)))
    assert found.rows[0].contestant == PLAIN_LOOP
    assert found.rows[0].ratio == 1
    assert {row.contestant for row in found.rows} > {
        "dense: dilation",
        "dense: fragments",
        "loop: torch fused, batch 4",
    }
    assert all(row.difference < (CLOSE if "bfloat16" not in row.contestant else HALF) for row in found.rows)
    assert all(row.timing.median_cpu > 0 for row in found.rows)
    assert all((row.peak_share > 0) == row.contestant.startswith("dense") for row in found.rows)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_other_engines_run_the_same_graph(subject: Subject, stride: int) -> None:
    if not all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime", "openvino")):
        pytest.skip("needs the packages of the extra 'bench'")
    image = subject.image(24)
    expected = score_patches(subject.net, image, subject.patch_size, stride)
    dense = [peer for peer in peers(subject, stride, tuple(image.shape)) if not peer.is_loop]
    assert len(dense) == 2
    for peer in dense:
        rows, cols = expected.shape[2:]
        torch.testing.assert_close(peer.net(image)[:, :, :rows, :cols], expected, rtol=0, atol=CLOSE)


def test_the_splitter_of_monai_yields_the_same_patches(subject: Subject) -> None:
    loop = monai_loop(subject, 3, batch=5)
    if loop is None:
        pytest.skip("needs the packages of the extra 'bench'")
    image = subject.image(20, 25)
    expected = score_patches(subject.net, image, subject.patch_size, 3)
    torch.testing.assert_close(loop(image), expected, rtol=0, atol=CLOSE)


def test_rounds_are_interleaved_and_the_first_is_thrown_away() -> None:
    order: list[str] = []
    timings = measure([Case(name, lambda name=name: order.append(name), 10**6) for name in "ab"], rounds=3)
    runs = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert runs == ["a", "b"] * 4
    assert [len(timing.cpu) for timing in timings] == [3, 3]


def test_tables_name_every_way(subject: Subject) -> None:
    found = race(subject, 2, 24, rounds=1, entry=Entry(()))
    table = "\n".join(markdown_of_race(found))
    assert all(f"| {row.contestant} |" in table for row in found.rows)
    assert [row.contestant for row in found.rows if "loop" in row.contestant] == [PLAIN_LOOP]
    assert found.choice in table


def test_networks_of_the_bench_are_found_by_name() -> None:
    assert [subject.name for subject in subjects()][:2] == ["DNN1", "DNN2"]
    assert [subject.patch_size for subject in subjects(("DNN2",))] == [101]
    with pytest.raises(SettingsError, match="no network is called nothing"):
        next(run_bench(BenchSettings(("nothing",))))
    with pytest.raises(SettingsError, match="must divide 64"):
        next(run_bench(BenchSettings(batches=(5,))))
    with pytest.raises(SettingsError, match="impossible"):
        next(run_bench(BenchSettings(tile=2)))
