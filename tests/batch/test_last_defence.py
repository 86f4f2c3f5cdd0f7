"""Whatever goes wrong with one slide, or beside the slides, is said and ends no batch."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from models import Model
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import BatchCallbacks
from scanner.batch.worklist import Job, find_slides, plan_jobs
from scanner.settings import ScanSettings
from tests.batch.batches import folder_of_slides, saved_model, scan_all, statuses


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return saved_model(tmp_path_factory)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return folder_of_slides(tmp_path)


def test_a_fault_of_ours_costs_one_slide(slides: Path, model: Model, caplog: pytest.LogCaptureFixture) -> None:
    class Panic(BaseException):
        """As libraries that are not written in Python raise."""

        def __str__(self) -> str:
            raise RecursionError

    planted = {
        "a": ZeroDivisionError("planted"),
        "c": MemoryError(),
        "d": Panic(),
        "e": RecursionError("deep " * 1000),
    }

    class Faulty(BatchOrder):
        def settings_of(self, job: Job) -> ScanSettings:
            if job.slide.stem in planted:
                raise planted[job.slide.stem]
            return super().settings_of(job)

    for name in ("d", "e", "f"):
        shutil.copy(slides / "a.svs", slides / f"{name}.svs")
    out = slides.parent / "out"
    jobs = plan_jobs(find_slides([slides]), out)
    outcomes = scan_batch(jobs, Faulty(model, {}), out)
    assert statuses(outcomes) == ["failed"] * 5 + ["ok"]
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons[0] == "unexpected ZeroDivisionError: planted"
    assert reasons[2:4] == ["unexpected MemoryError", "unexpected Panic"]
    assert reasons[4].startswith("unexpected RecursionError: deep")
    assert len(reasons[4]) < 2100
    assert "planted" in caplog.text  # with its traceback
    assert not (out / "a" / "run.json").exists()
    # As batch.json has it; what is foreseen needs none.
    traces = [slide["traceback"] for slide in json.loads((out / "batch.json").read_text())["slides"]]
    assert "settings_of" in traces[0]
    assert "ZeroDivisionError: planted" in traces[0]
    assert [bool(trace) for trace in traces] == [True, False, True, True, True, False]
    assert max(map(len, traces)) < 8100


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_who_wants_to_end_a_batch_can(slides: Path, model: Model, kind: type[BaseException]) -> None:
    def ending(*_: object) -> None:
        raise kind

    out = slides.parent / "out"
    jobs = plan_jobs(find_slides([slides]), out)
    with pytest.raises(kind):
        scan_batch(jobs, BatchOrder(model, {}), out, callbacks=BatchCallbacks(on_progress=ending))


def test_what_watches_a_batch_cannot_end_it_nor_cost_a_slide(slides: Path, model: Model) -> None:
    def faulty(*_: object) -> None:
        raise UnicodeEncodeError("ascii", "ü", 0, 1, "a terminal without umlauts")

    out = slides.parent / "out"
    jobs = plan_jobs(find_slides([slides]), out)
    outcomes = scan_batch(jobs, BatchOrder(model, {}), out, callbacks=BatchCallbacks(faulty, faulty, faulty))
    assert statuses(outcomes) == ["ok", "failed", "ok"]


def test_a_batch_goes_on_where_its_list_cannot_be_written_for_a_while(slides: Path, model: Model) -> None:
    out = slides.parent / "out"
    (out / "batch.json").mkdir(parents=True)
    (out / "batch.json" / "in the way").touch()
    outcomes = scan_all(slides, model)
    assert statuses(outcomes) == ["ok", "failed", "ok"]


def test_a_batch_goes_on_where_no_thread_is_to_be_had(
    slides: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("opener"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert statuses(scan_all(slides, model)) == ["ok", "failed", "ok"]
