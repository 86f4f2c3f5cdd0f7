"""A cluster writes what the plain loop writes, also when a host dies in the middle."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models import Model, load_model, save_model
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import Watcher
from scanner.batch.worklist import Job, find_slides, plan_jobs
from scanner.cluster.bands import BAND_TILES
from scanner.cluster.cluster import MAX_LOSSES, scan_cluster
from scanner.cluster.worker import ClusterWorker
from scanner.errors import ClusterError, UnavailableError
from scanner.inference.certificates import certificate_for
from scanner.inference.progress import Progress
from scanner.maps.unfinished import WORK_NAME
from scanner.settings import SettingsKeywords
from tests.cluster.fake_ray import FakeRay
from tests.dense.test_capabilities import AVX2
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model


def with_ray(test: Any) -> Any:
    """Mark a test that runs Ray itself, which leaves pipes and files to its own end: they are not ours."""
    missing = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, the extra `cluster`")
    return pytest.mark.slow(pytest.mark.filterwarnings("ignore")(missing(test)))


KEYWORDS = SettingsKeywords(device="cpu", tile_size=32, stride=1, workers=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    certificate_for(save_model(folder, random_model(stride=4)), 1)  # Who makes it names it otherwise than who finds it.
    return load_model(folder)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A giant of six bands, a slide of one, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, side in enumerate((860, 150)):
        write_pyramid(folder / f"{seed}.svs", texture(side, side, seed=seed), levels=2)
    (folder / "bad.svs").write_text("no slide")
    return folder


@pytest.fixture(scope="module")
def plain(slides: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the plain loop."""
    out = tmp_path_factory.mktemp("plain")
    scan_batch(plan_jobs(find_slides([slides]), out), BatchOrder(model, KEYWORDS), out)
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


def children_of(pid: int) -> list[int]:
    """Processes that `pid` has started."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def kill_a_busy_node(cluster: Any, node: Any, work: Path, killed: list[int]) -> None:
    """Kill a node once both are in the middle of a band of the giant."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        lines = [path.read_text().count("\n") for path in work.glob("journal-*.jsonl")]
        in_hand = [count for count in lines if 0 < count < BAND_TILES * 3 // 4]
        if len(in_hand) == 2:
            # It takes a node a second to go, and its worker no longer to end the band: that is stopped at once.
            workers = children_of(node.all_processes["raylet"][0].process.pid)
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            cluster.remove_node(node, allow_graceful=False)
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            killed.append(sum(lines))
            return
        time.sleep(0.01)


@with_ray
def test_a_node_that_is_killed_costs_nothing(
    cluster: Any, slides: Path, model: Model, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    jobs = plan_jobs(find_slides([slides]), tmp_path)
    killed: list[int] = []
    seen: dict[str, list[Progress]] = {}
    watcher = Watcher(on_progress=lambda job, progress: seen.setdefault(job.slide.stem, []).append(progress))
    work = tmp_path / "0" / WORK_NAME
    killer = threading.Thread(target=kill_a_busy_node, args=(cluster, nodes[-1], work, killed))
    killer.start()
    with caplog.at_level(logging.WARNING, logger="scanner.cluster.cluster"):
        order = BatchOrder(model, KEYWORDS, False)
        outcomes = scan_cluster(jobs, order, tmp_path, address=cluster.address, watcher=watcher)
    killer.join()
    assert len(killed) == 1, "the nodes have not shared the giant"
    assert "its host was lost" in caplog.text
    assert [str(outcome.status) for outcome in outcomes] == ["ok"] * 2 + ["failed"]
    assert_same_results(tmp_path, plain)
    assert [progress.mm2_done for progress in seen["0"]] == sorted(progress.mm2_done for progress in seen["0"])
    assert seen["0"][-1].tiles_done == seen["0"][-1].tiles_total


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
    assert [str(outcome.status) for outcome in outcomes] == ["skipped"] * 2 + ["failed"]
    after = files_of(plain)
    assert {name for name in before if before[name] != after[name]} == {"batch.json"}


@dataclass
class Heard:
    """What a watcher hears."""

    progress: list[tuple[str, float]] = field(default_factory=list)

    def watcher(self) -> Watcher:
        return Watcher(on_progress=lambda job, so_far: self.progress.append((job.slide.name, so_far.mm2_done)))


def on_fake_hosts(
    monkeypatch: pytest.MonkeyPatch, out: Path, names: str, *, fake: FakeRay, heard: Heard | None = None
) -> list[str]:
    """How each slide ended on the fake Ray."""
    monkeypatch.setitem(sys.modules, "ray", fake)
    jobs = [Job(Path(name), out / name) for name in names]
    order = BatchOrder(random_model(), KEYWORDS, False)
    outcomes = scan_cluster(jobs, order, out, address="local", watcher=(heard or Heard()).watcher())
    assert [outcome.slide for outcome in outcomes] == list(names)
    said = json.loads((out / "batch.json").read_text())
    assert [slide["slide"] for slide in said["slides"]] == list(names)
    return [outcome.reason or str(outcome.status) for outcome in outcomes]


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
        ("a0", 0), ("b", 1), ("a3", 1), ("a1", 0), ("a2", 1), ("a", 1),
    ]  # fmt: skip
    assert heard.progress == [("a", 1.0), ("a", 1.5), ("a", 2.5), ("a", 3.0), ("a", 4.0)]


def test_a_lost_band_alone_is_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = FakeRay(hosts=2, endings=["a0", "!a2", "a1", "a2", "a"], bands={"a": 3})
    assert on_fake_hosts(monkeypatch, tmp_path, "a", fake=fake) == ["ok"]
    assert fake.begun == [
        ("a0", 0, False), ("a2", 1, False), ("a1", 0, False), ("a2", 0, True), ("a", 0, True),
    ]  # fmt: skip


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
    assert "precision = 'bfloat16' is not to be had on cpu" in refusal
    assert ClusterWorker(replace(order, keywords=KEYWORDS)).refusal() == ""
    fake = FakeRay(hosts=2, endings=[], refusal=refusal)
    with pytest.raises(UnavailableError, match=r"'bfloat16'.* it has float32"):
        on_fake_hosts(monkeypatch, tmp_path, "ab", fake=fake)
    assert fake.begun == []


def test_without_ray_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"mitoscan\[cluster\]"):
        scan_cluster([], BatchOrder(random_model(), KEYWORDS, False), tmp_path, address="local")
