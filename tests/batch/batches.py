"""Batches: a folder of slides with a file that is none, and a model that scans it in a moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from models import Model, save_model
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import Outcome
from scanner.batch.worklist import FoundSlide, find_slides, plan_jobs
from scanner.settings import SettingsKeywords
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model


def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny model; saved, for the checksum that results are compared by."""
    return save_model(tmp_path_factory.mktemp("model"), random_model(stride=4))


def folder_of_slides(tmp_path: Path) -> Path:
    """Two slides, and a file between them that is none."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for seed, name in enumerate(("a.svs", "c.svs")):
        write_pyramid(folder / name, texture(150, 140, seed=seed), levels=1, mpp=0.25)
    (folder / "b.svs").write_text("no slide")
    return folder


def scan_all(slides: Path, model: Model, *, overwrite: bool = False, **keywords: Any) -> list[Outcome]:
    out = slides.parent / "out"
    jobs = plan_jobs(find_slides([slides]), out)
    return scan_batch(jobs, BatchOrder(model, SettingsKeywords(**keywords), overwrite), out)


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [str(outcome.status) for outcome in outcomes]


def report_of(slides: Path, name: str) -> dict[str, Any]:
    return json.loads((slides.parent / "out" / name / "run.json").read_text())


def touch(root: Path, *names: str) -> None:
    """Empty files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def folders(slides: Iterable[FoundSlide]) -> list[str]:
    """The result folders that a batch chooses."""
    return [str(job.folder.relative_to("out")) for job in plan_jobs(slides, Path("out"))]
