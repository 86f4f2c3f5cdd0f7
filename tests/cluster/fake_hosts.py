"""A batch on the hosts of a fake Ray."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scanner.batch.batch import BatchOrder
from scanner.batch.outcomes import BatchCallbacks
from scanner.batch.worklist import Job
from scanner.cluster.cluster import scan_cluster
from scanner.settings import SettingsKeywords
from tests.cluster.fake_ray import FakeRay
from tests.networks.small_models import random_model

KEYWORDS = SettingsKeywords(device="cpu", tile_size=32, stride=1, workers=1)


@dataclass
class Heard:
    """The progress that callbacks are told."""

    progress: list[tuple[str, float]] = field(default_factory=list)

    def callbacks(self) -> BatchCallbacks:
        return BatchCallbacks(on_progress=lambda job, so_far: self.progress.append((job.slide.name, so_far.mm2_done)))


def on_fake_hosts(
    monkeypatch: pytest.MonkeyPatch, out: Path, names: str, *, fake: FakeRay, heard: Heard | None = None
) -> list[str]:
    """How each slide ended on the fake Ray."""
    monkeypatch.setitem(sys.modules, "ray", fake)
    jobs = [Job(Path(name), out / name) for name in names]
    order = BatchOrder(random_model(), KEYWORDS, False)
    outcomes = scan_cluster(jobs, order, out, address="local", callbacks=(heard or Heard()).callbacks())
    assert [outcome.slide for outcome in outcomes] == list(names)
    said = json.loads((out / "batch.json").read_text())
    assert [slide["slide"] for slide in said["slides"]] == list(names)
    return [outcome.reason or str(outcome.status) for outcome in outcomes]
