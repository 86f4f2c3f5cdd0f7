"""A cluster writes what the plain loop writes, also when a host dies in the middle."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models import Model, load_model, save_model
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import BatchCallbacks
from scanner.batch.worklist import find_slides, plan_jobs
from scanner.cluster.bands import BAND_TILES
from scanner.cluster.cluster import scan_cluster
from scanner.errors import ClusterError
from scanner.files.atomic import LOCK_NAME
from scanner.inference.certificates import certificate_for
from scanner.inference.progress import Progress
from scanner.maps.unfinished import WORK_NAME
from tests.cluster.fake_hosts import KEYWORDS
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model


def with_ray(test: Any) -> Any:
    """Mark a test that runs Ray itself, which leaves pipes and files to its own end: they are not ours."""
    missing = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, the extra `cluster`")
    return pytest.mark.slow(pytest.mark.filterwarnings("ignore")(missing(test)))


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


def is_in_hand(tiles: int) -> bool:
    """True for a band of which so many tiles are scored, and enough are left to be killed in."""
    return 0 < tiles < BAND_TILES * 3 // 4


def holder_of(path: Path) -> int | None:
    """The process that holds the lock on a file."""
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[5].rpartition(":")[2] == inode:
            return int(fields[4])
    return None


def kill_a_busy_node(cluster: Any, node: Any, work: Path, killed: list[int]) -> None:
    """Kill a node once both are in the middle of a band of the giant; the first waits there for the second."""
    deadline, paused = time.monotonic() + 240, None
    while time.monotonic() < deadline:
        journals = {path: path.read_text().count("\n") for path in work.glob("journal-*.jsonl")}
        lines, in_hand = list(journals.values()), [path for path, count in journals.items() if is_in_hand(count)]
        if len(in_hand) == 1 and paused is None:
            paused = holder_of(work / f"{LOCK_NAME}-{in_hand[0].stem.removeprefix('journal-')}")
            if paused is not None:
                os.kill(paused, signal.SIGSTOP)
        if len(in_hand) == 2:
            if paused is not None:
                os.kill(paused, signal.SIGCONT)
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
    callbacks = BatchCallbacks(on_progress=lambda job, progress: seen.setdefault(job.slide.stem, []).append(progress))
    work = tmp_path / "0" / WORK_NAME
    killer = threading.Thread(target=kill_a_busy_node, args=(cluster, nodes[-1], work, killed))
    killer.start()
    with caplog.at_level(logging.WARNING, logger="scanner.cluster.cluster"):
        order = BatchOrder(model, KEYWORDS, False)
        outcomes = scan_cluster(jobs, order, tmp_path, address=cluster.address, callbacks=callbacks)
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
