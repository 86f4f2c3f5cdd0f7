"""Laws of a cluster on a fake Ray: who takes what next, and what a lost host costs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.batch.batch import BatchOrder
from scanner.cluster.cluster import MAX_LOSSES, scan_cluster
from scanner.cluster.worker import ClusterWorker
from scanner.errors import ClusterError, UnavailableError
from scanner.settings import SettingsKeywords
from tests.cluster.fake_hosts import KEYWORDS, Heard, on_fake_hosts
from tests.cluster.fake_ray import FakeRay
from tests.dense.test_capabilities import AVX2
from tests.networks.small_models import random_model


def test_whoever_is_done_takes_the_next_slide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=2, endings=["b", "c", "d", "a"])
    assert on_fake_hosts(monkeypatch, tmp_path, "abcd", fake=fake) == ["ok"] * 4
    assert fake.begun == [("a", 0, False), ("b", 1, False), ("c", 1, False), ("d", 1, False)]


def test_a_lost_slide_goes_to_a_host_that_had_nothing_left_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeRay(hosts=2, endings=["b", "!a", "a"])
    assert on_fake_hosts(monkeypatch, tmp_path, "ab", fake=fake) == ["ok", "ok"]
    assert fake.begun == [("a", 0, False), ("b", 1, False), ("a", 1, True)]
    assert fake.killed == [0]  # It may only have been out of reach.


def test_a_lost_slide_comes_before_those_that_were_not_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=2, endings=["!a", "b", "a", "c"])
    assert on_fake_hosts(monkeypatch, tmp_path, "abc", fake=fake) == ["ok"] * 3
    assert fake.begun[2:] == [("a", 1, True), ("c", 1, False)]


def test_a_slide_that_takes_its_hosts_down_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=MAX_LOSSES + 1, endings=["b", *["!a"] * MAX_LOSSES])
    outcomes = on_fake_hosts(monkeypatch, tmp_path, "ab", fake=fake)
    assert outcomes == [f"its host was lost {MAX_LOSSES} times: the actor died", "ok"]
    assert len(fake.begun) == MAX_LOSSES + 1


def test_who_has_nothing_to_do_takes_bands_of_a_giant_from_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake, heard = FakeRay(hosts=2, endings=["b", "a0", "?a1", "a3", "a1", "a2", "a"], bands={"a": 4}), Heard()
    assert on_fake_hosts(monkeypatch, tmp_path, "ab", fake=fake, heard=heard) == ["ok", "ok"]
    assert [(name, actor) for name, actor, _ in fake.begun] == [
        ("a0", 0),
        ("b", 1),
        ("a3", 1),
        ("a1", 0),
        ("a2", 1),
        ("a", 1),
    ]
    assert heard.progress == [("a", 1.0), ("a", 1.5), ("a", 2.5), ("a", 3.0), ("a", 4.0)]


def test_a_lost_band_alone_is_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=2, endings=["a0", "!a2", "a1", "a2", "a"], bands={"a": 3})
    assert on_fake_hosts(monkeypatch, tmp_path, "a", fake=fake) == ["ok"]
    assert fake.begun == [
        ("a0", 0, False),
        ("a2", 1, False),
        ("a1", 0, False),
        ("a2", 0, True),
        ("a", 0, True),
    ]


def test_a_host_with_many_bands_of_a_slide_may_die(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Losses are counted by band: a host with four GPUs takes four of them down at once."""
    lost = [f"!a{band}" for band in (4, 3, 2, 1)]
    endings = [*lost, "a0", "a4", "a3", "a2", "a1", "a"]
    fake = FakeRay(hosts=5, endings=endings, bands={"a": 5})
    assert on_fake_hosts(monkeypatch, tmp_path, "a", fake=fake) == ["ok"]


def test_a_host_that_has_not_the_precision_ends_the_batch_before_any_slide(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: AVX2)
    order = BatchOrder(random_model(), SettingsKeywords(device="cpu", precision="bfloat16"), False)
    refusal = ClusterWorker(order).refusal()
    assert "precision = 'bfloat16' is not available on cpu" in refusal
    assert ClusterWorker(replace(order, keywords=KEYWORDS)).refusal() == ""
    fake = FakeRay(hosts=2, endings=[], refusal=refusal)
    with pytest.raises(UnavailableError, match=r"'bfloat16'.* it has float32"):
        on_fake_hosts(monkeypatch, tmp_path, "ab", fake=fake)
    assert fake.begun == []


def test_without_ray_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"mitoscan\[cluster\]"):
        scan_cluster([], BatchOrder(random_model(), KEYWORDS, False), tmp_path, address="local")
