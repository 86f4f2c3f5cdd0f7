"""A cluster writes what the plain loop writes, also when a host dies in the middle."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models import Model, save_model
from scanner.batch import BatchOrder, scan_batch
from scanner.errors import ClusterError
from scanner.settings import SettingsKeywords
from scanner.worklist import find_slides, plan_jobs
from tests.slides_factory import texture, write_pyramid
from tests.small_models import random_model

ray = pytest.importorskip("ray", reason="needs Ray, the extra `cluster`")
from scanner.cluster import scan_cluster  # noqa: E402 - it is of use with Ray only

#: Ray leaves pipes and files to its own end; they are not ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
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


def test_a_cluster_that_is_not_there_is_named(slides: Path, model: Model, tmp_path: Path) -> None:
    jobs = plan_jobs(find_slides([slides]), tmp_path)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1"):
        scan_cluster(jobs, BatchOrder(model, KEYWORDS, False), tmp_path, address="127.0.0.1:1")


def test_what_is_done_is_skipped_on_a_cluster_too(slides: Path, model: Model, plain: Path) -> None:
    before = files_of(plain)
    outcomes = scan_cluster(
        plan_jobs(find_slides([slides]), plain), BatchOrder(model, KEYWORDS, False), plain, address="local"
    )
    assert [str(outcome.status) for outcome in outcomes] == ["skipped"] * 4 + ["failed"]
    after = files_of(plain)
    assert {name for name in before if before[name] != after[name]} == {"batch.json"}
