"""A cluster writes what the plain loop writes, also when a host dies in the middle."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models import Model, save_model
from scanner.batch import BatchOrder, scan_batch
from scanner.cluster import MAX_LOSSES, scan_cluster
from scanner.errors import ClusterError
from scanner.settings import SettingsKeywords
from scanner.worklist import Job, find_slides, plan_jobs
from tests.fake_ray import FakeRay
from tests.slides_factory import texture, write_pyramid
from tests.small_models import random_model


def with_ray(test: Any) -> Any:
    """Mark a test that runs Ray itself, which leaves pipes and files to its own end: they are not ours."""
    missing = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, the extra `cluster`")
    return pytest.mark.slow(pytest.mark.filterwarnings("ignore")(missing(test)))


#: Half a minute of work for one processor, in tiles that are done several times a second.
KEYWORDS = SettingsKeywords(device="cpu", tile_size=128, stride=1, workers=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return save_model(tmp_path_factory.mktemp("model"), random_model(stride=4))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four slides, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for seed in range(4):
        write_pyramid(folder / f"{seed}.svs", texture(900, 800, seed=seed), levels=2)
    (folder / "bad.svs").write_text("no slide")
    return folder


@pytest.fixture(scope="module")
def plain(slides: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the plain loop."""
    out = tmp_path_factory.mktemp("plain")
    scan_batch(plan_jobs(find_slides([slides]), out), model, out, keywords=KEYWORDS)
    return out


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without processors, and two nodes with one each, on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    hosts = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield hosts
    hosts.shutdown()


def files_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def assert_same_results(out: Path, expected: Path) -> None:
    """The same files with the same bytes, times aside."""
    found, wanted = files_of(out), files_of(expected)
    assert found.keys() == wanted.keys()
    for name, content in wanted.items():
        if name.endswith(".json") and not name.endswith("geojson"):
            assert untimed(json.loads(found[name])) == untimed(json.loads(content)), name
        else:
            assert found[name] == content, name


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(part) for key, part in value.items() if key not in {"timing", "finished", "seconds"}}
    return [untimed(part) for part in value] if isinstance(value, list) else value


def kill_a_busy_node(cluster: Any, nodes: list[Any], out: Path, killed: list[float]) -> None:
    """Kill the last node once every node has a slide half done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        journals = [path for path in out.glob("*/.scan/journal.jsonl") if path.stat().st_size > 200]
        if len(journals) >= len(nodes):
            cluster.remove_node(nodes[-1], allow_graceful=False)
            killed.append(time.monotonic())
            return
        time.sleep(0.02)


@with_ray
def test_a_node_that_is_killed_costs_nothing(
    cluster: Any, slides: Path, model: Model, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    jobs, killed = plan_jobs(find_slides([slides]), tmp_path), []
    killer = threading.Thread(target=kill_a_busy_node, args=(cluster, nodes, tmp_path, killed))
    killer.start()
    with caplog.at_level(logging.WARNING, logger="scanner.cluster"):
        outcomes = scan_cluster(jobs, BatchOrder(model, KEYWORDS, False), tmp_path, address=cluster.address)
    killer.join()
    assert killed
    assert "its host was lost" in caplog.text
    assert [str(outcome.status) for outcome in outcomes] == ["ok"] * 4 + ["failed"]
    assert_same_results(tmp_path, plain)


@with_ray
def test_a_cluster_that_is_not_there_is_named(slides: Path, model: Model, tmp_path: Path) -> None:
    jobs = plan_jobs(find_slides([slides]), tmp_path)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1"):
        scan_cluster(jobs, BatchOrder(model, KEYWORDS, False), tmp_path, address="127.0.0.1:1")


@with_ray
def test_what_is_done_is_skipped_on_a_cluster_too(slides: Path, model: Model, plain: Path) -> None:
    before = files_of(plain)
    outcomes = scan_cluster(
        plan_jobs(find_slides([slides]), plain), BatchOrder(model, KEYWORDS, False), plain, address="local"
    )
    assert [str(outcome.status) for outcome in outcomes] == ["skipped"] * 4 + ["failed"]
    after = files_of(plain)
    assert {name for name in before if before[name] != after[name]} == {"batch.json"}


def on_fake_hosts(
    monkeypatch: pytest.MonkeyPatch, out: Path, names: str, *, hosts: int, endings: list[str]
) -> tuple[FakeRay, list[str]]:
    """The fake Ray, and how each slide ended."""
    fake = FakeRay(hosts, endings)
    monkeypatch.setitem(sys.modules, "ray", fake)
    jobs = [Job(Path(name), out / name) for name in names]
    outcomes = scan_cluster(jobs, BatchOrder(random_model(), KEYWORDS, False), out, address="local")
    assert [outcome.slide for outcome in outcomes] == list(names)
    said = json.loads((out / "batch.json").read_text())
    assert [slide["slide"] for slide in said["slides"]] == list(names)
    return fake, [outcome.reason or str(outcome.status) for outcome in outcomes]


def test_whoever_is_done_takes_the_next_slide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake, outcomes = on_fake_hosts(monkeypatch, tmp_path, "abcd", hosts=2, endings=["b", "c", "d", "a"])
    assert outcomes == ["ok"] * 4
    assert fake.begun == [("a", 0, False), ("b", 1, False), ("c", 1, False), ("d", 1, False)]


def test_a_lost_slide_goes_to_a_host_that_had_nothing_left_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake, outcomes = on_fake_hosts(monkeypatch, tmp_path, "ab", hosts=2, endings=["b", "!a", "a"])
    assert outcomes == ["ok", "ok"]
    assert fake.begun == [("a", 0, False), ("b", 1, False), ("a", 1, True)]


def test_a_lost_slide_comes_before_those_that_were_not_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake, outcomes = on_fake_hosts(monkeypatch, tmp_path, "abc", hosts=2, endings=["!a", "b", "a", "c"])
    assert outcomes == ["ok"] * 3
    assert fake.begun[2:] == [("a", 1, True), ("c", 1, False)]


def test_a_slide_that_takes_its_hosts_down_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endings = ["b", *["!a"] * MAX_LOSSES]
    fake, outcomes = on_fake_hosts(monkeypatch, tmp_path, "ab", hosts=MAX_LOSSES + 1, endings=endings)
    assert outcomes == [f"its host was lost {MAX_LOSSES} times: the actor died", "ok"]
    assert len(fake.begun) == MAX_LOSSES + 1


def test_without_ray_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"mitoscan\[cluster\]"):
        scan_cluster([], BatchOrder(random_model(), KEYWORDS, False), tmp_path, address="local")
