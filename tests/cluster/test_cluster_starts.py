"""A cluster on which workers cannot start ends the batch, soon, and says why."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from scanner.batch.batch import BatchOrder
from scanner.batch.worklist import Job
from scanner.cluster.cluster import scan_cluster
from scanner.cluster.connection import MAX_START_FAILURES
from scanner.errors import ClusterError
from tests.cluster.fake_hosts import KEYWORDS, on_fake_hosts
from tests.cluster.fake_ray import FakeRay
from tests.cluster.test_cluster import with_ray

RAYS_WORDS = """The actor died because of an error raised in its creation task, ray::ClusterWorker.__init__()
  File "scanner/cluster/worker.py", line 50, in __init__
ModuleNotFoundError: No module named 'timm'
"""


def test_workers_that_cannot_start_end_the_batch_with_their_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeRay(hosts=1, endings=[], broken=dict.fromkeys(range(100), RAYS_WORDS))
    with pytest.raises(ClusterError, match=r"cannot start on the cluster: ModuleNotFoundError: No module named 'timm'"):
        on_fake_hosts(monkeypatch, tmp_path, "ab", fake=fake)
    assert fake.actors == MAX_START_FAILURES
    said = [record.message for record in caplog.records if record.name == "scanner.cluster.connection"]
    assert len(said) == MAX_START_FAILURES
    assert all("No module named 'timm'" in line for line in said)


def test_those_that_have_started_go_on_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = dict.fromkeys((1, 2, 3), "The actor is unschedulable.")
    fake = FakeRay(hosts=2, endings=["a", "b", "c"], broken=broken)
    assert on_fake_hosts(monkeypatch, tmp_path, "abc", fake=fake) == ["ok"] * 3
    assert fake.actors == 1 + MAX_START_FAILURES


def test_two_failures_and_a_start_are_no_three_failures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=2, endings=["!a", "a"], broken=dict.fromkeys((0, 1, 3, 4), "No room."))
    assert on_fake_hosts(monkeypatch, tmp_path, "a", fake=fake) == ["ok"]
    assert fake.actors == 6


def test_a_cluster_without_processors_ends_the_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=1, endings=[], is_empty=True)
    with pytest.raises(ClusterError, match="no worker has started within 50 s: the cluster has no processors"):
        on_fake_hosts(monkeypatch, tmp_path, "a", fake=fake)


class NotOnThisHost:
    """Cannot be unpickled by a worker: what stands for a package that its host has not."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return import_module, ("a_package_that_no_host_has",)


@with_ray
def test_a_cluster_whose_workers_cannot_start_ends_after_a_few_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    order = BatchOrder(NotOnThisHost(), KEYWORDS, False)  # type: ignore[arg-type]
    with pytest.raises(ClusterError, match="a_package_that_no_host_has"):
        scan_cluster([Job(tmp_path / "a.svs", tmp_path / "a")], order, tmp_path, address="local")
    # Seconds each on an idle machine: within a minute in all.
    said = [record for record in caplog.records if "has not started" in record.getMessage()]
    assert len(said) == MAX_START_FAILURES
