"""A model is its weights and its card: a result of another card is another result."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from models.card import CARD_NAME
from service.jobs.catalog import Catalog, UnknownModelError, read_entry
from service.jobs.database import make_engine
from service.jobs.lifecycle import Job, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.store import Store
from service.settings import Settings
from service.worker.job_scan import ScanMonitor, run_scan
from tests.service.fields import make_field, png


@pytest.fixture
def own_models(tmp_path: Path, models_folder: Path) -> Path:
    """A copy of the models, whose cards may be changed."""
    return Path(shutil.copytree(models_folder, tmp_path / "models"))


def change(card: Path, before: str, after: str) -> None:
    text = card.read_text()
    assert before in text
    card.write_text(text.replace(before, after))


def request_for(catalog: Catalog, slide: Path) -> ScanRequest:
    entry = catalog.find("tiny")
    return ScanRequest(str(slide), "0", "slide", entry.name, entry.sha256, entry.card_sha256)


def test_another_threshold_in_the_card_is_another_result(own_models: Path, tmp_path: Path) -> None:
    before = request_for(Catalog(own_models, "tiny"), tmp_path)
    assert request_for(Catalog(own_models, "tiny"), tmp_path).result_key == before.result_key
    change(own_models / "tiny" / CARD_NAME, "threshold = 0.5", "threshold = 0.4")
    after = request_for(Catalog(own_models, "tiny"), tmp_path)
    assert after.model_sha256 == before.model_sha256
    assert after.result_key != before.result_key


def test_a_card_that_has_changed_since_is_not_scanned_with(own_models: Path, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", models=own_models)
    slide = settings.uploads / "0" / "slide.png"
    slide.parent.mkdir(parents=True)
    slide.write_bytes(png(make_field(1)))
    catalog, store = Catalog(own_models, "tiny"), Store(make_engine(settings.store_url))
    migrate_store(store.engine)
    job = Job("a", request_for(catalog, slide.relative_to(settings.data)), "local", time.time())
    change(own_models / "tiny" / CARD_NAME, "threshold = 0.5", "threshold = 0.4")
    with pytest.raises(UnknownModelError, match="has changed"):
        run_scan(job, tmp_path, settings=settings, catalog=catalog, monitor=ScanMonitor(store, job, timeout_s=60))


def test_weights_that_no_card_names_count_too(tmp_path: Path) -> None:
    (tmp_path / CARD_NAME).write_text('name = "own"\nmpp = 0.25\n')
    checksums = []
    for content in (b"one", b"two"):
        (tmp_path / "model.onnx").write_bytes(content)
        checksums.append(read_entry(tmp_path / CARD_NAME).sha256)
    assert len({*checksums, ""}) == 3
