"""A batch: what is done is not done again, what fails is named, and the others go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import Model
from models.normalisation import Normalisation, NormalisationKind
from scanner.batch.batch import BatchOrder, scan_batch, survey_job
from scanner.batch.manifest import read_manifest
from scanner.batch.outcomes import BatchCallbacks, Status
from scanner.batch.worklist import find_slides, plan_jobs
from scanner.errors import OutputError, SettingsError
from scanner.scanning import prepare_slide
from tests.batch.batches import folder_of_slides, report_of, saved_model, scan_all, statuses
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

FILES = {"detections.geojson", "detections.csv", "map.ome.tiff", "overview.png", "run.json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return saved_model(tmp_path_factory)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return folder_of_slides(tmp_path)


def test_one_bad_slide_does_not_stop_a_batch(slides: Path, model: Model) -> None:
    outcomes = scan_all(slides, model)
    assert statuses(outcomes) == ["ok", "failed", "ok"]
    assert "b.svs" in outcomes[1].reason
    out = slides.parent / "out"
    for name in ("a", "c"):
        assert {path.name for path in (out / name).iterdir()} >= FILES
        assert not [path for path in (out / name).iterdir() if path.name.startswith(".")]
    assert not (out / "b").exists()


def test_batch_json_says_how_every_slide_ended(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    content = json.loads((slides.parent / "out" / "batch.json").read_text())
    assert (content["total"], content["ok"], content["skipped"], content["failed"]) == (3, 2, 0, 1)
    assert [(slide["folder"], slide["status"]) for slide in content["slides"]] == [
        ("a", "ok"),
        ("b", "failed"),
        ("c", "ok"),
    ]
    assert [slide["count"] for slide in content["slides"]] == [
        report_of(slides, "a")["count"],
        None,
        report_of(slides, "c")["count"],
    ]
    assert content["slides"][1]["reason"]


def test_batch_json_is_there_after_every_slide(slides: Path, model: Model) -> None:
    out, lengths = slides.parent / "out", []
    callbacks = BatchCallbacks(
        on_outcome=lambda *_: lengths.append(len(json.loads((out / "batch.json").read_text())["slides"]))
    )
    scan_batch(plan_jobs(find_slides([slides]), out), BatchOrder(model, {}), out, callbacks=callbacks)
    assert lengths == [1, 2, 3]


def test_what_is_done_is_skipped_untouched(slides: Path, model: Model) -> None:
    first = scan_all(slides, model)
    written = [(slides.parent / "out" / name / "run.json").stat().st_mtime_ns for name in "ac"]
    again = scan_all(slides, model)
    assert statuses(again) == ["skipped", "failed", "skipped"]
    assert [outcome.count for outcome in again] == [outcome.count for outcome in first]
    assert [(slides.parent / "out" / name / "run.json").stat().st_mtime_ns for name in "ac"] == written


def test_settings_that_change_no_result_are_no_other_scan(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    assert statuses(scan_all(slides, model, tile_size=64, workers=1, batch_size=2))[0] == "skipped"


def test_another_scan_is_not_overwritten_unasked(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    before = report_of(slides, "a")
    outcomes = scan_all(slides, model, threshold=0.9)
    assert statuses(outcomes) == ["failed"] * 3
    assert "--overwrite" in outcomes[0].reason
    assert report_of(slides, "a") == before
    assert statuses(scan_all(slides, model, overwrite=True, threshold=0.9)) == ["ok", "failed", "ok"]
    assert report_of(slides, "a")["settings"]["threshold"] == 0.9


def test_another_slide_of_the_same_name_is_not_taken_for_done(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    write_pyramid(slides / "a.svs", texture(150, 140, seed=7), levels=1, mpp=0.25)
    outcomes = scan_all(slides, model)
    assert statuses(outcomes) == ["failed", "failed", "skipped"]
    assert "--overwrite" in outcomes[0].reason


def test_a_slide_that_has_gone_since_is_named(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    out = slides.parent / "out"
    jobs = plan_jobs(find_slides([slides]), out)
    (slides / "a.svs").unlink()
    outcome = scan_batch(jobs[:1], BatchOrder(model, {}), out)[0]
    assert outcome.status is Status.FAILED
    assert "a.svs" in outcome.reason
    assert "unexpected" not in outcome.reason


@pytest.mark.parametrize("content", ["", "{", '{"asked_for": {}'])
def test_a_result_that_was_not_finished_is_scanned_again(slides: Path, model: Model, content: str) -> None:
    folder = slides.parent / "out" / "a"
    folder.mkdir(parents=True)
    (folder / "detections.csv").write_text("half")
    (folder / "run.json").write_text(content)
    assert statuses(scan_all(slides, model))[0] == "ok"
    assert report_of(slides, "a")["slide"]["name"] == "a.svs"


def test_impossible_settings_fail_before_the_first_slide(slides: Path, model: Model) -> None:
    with pytest.raises(SettingsError, match="stride = 0"):
        scan_all(slides, model, stride=0)
    assert not (slides.parent / "out").exists()


def test_a_batch_folder_that_cannot_be_is_named(slides: Path, model: Model) -> None:
    (slides.parent / "out").write_text("a file")
    with pytest.raises(OutputError, match="out"):
        scan_all(slides, model)


def test_what_is_no_report_counts_as_unfinished(slides: Path, model: Model) -> None:
    folder = slides.parent / "out" / "a"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("[]")
    assert statuses(scan_all(slides, model))[0] == "ok"


def test_overwriting_leaves_alone_what_a_scan_did_not_write(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    mine = [slides.parent / "out" / "a" / "notes.txt", slides.parent / "out" / "a" / "sub" / "mine.csv"]
    mine[1].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    assert statuses(scan_all(slides, model, overwrite=True))[0] == "ok"
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_overwriting_removes_the_files_that_only_the_earlier_scan_was_asked_for(slides: Path, model: Model) -> None:
    scan_all(slides, model, exports=("zarr", "grand-challenge"))
    extras = [slides.parent / "out" / "a" / name for name in ("map.ome.zarr", "mitotic-figures.json")]
    assert all(path.exists() for path in extras)
    (slides.parent / "out" / "a" / "annotations.dcm").write_text("mine: no scan was asked for it")
    assert statuses(scan_all(slides, model, overwrite=True))[0] == "ok"
    assert not any(path.exists() for path in extras)
    assert (slides.parent / "out" / "a" / "annotations.dcm").exists()


def test_a_slides_own_mpp_holds_for_it_alone(slides: Path, model: Model) -> None:
    out = slides.parent / "out"
    (slides / "list.csv").write_text("path,mpp\na.svs,0.3\nc.svs,\n")
    outcomes = scan_batch(plan_jobs(read_manifest(slides / "list.csv"), out), BatchOrder(model, {}), out)
    assert statuses(outcomes) == ["ok", "ok"]
    said = {name: (report_of(slides, name)["mpp"], report_of(slides, name)["mpp_source"]) for name in "ac"}
    assert said == {"a": (0.3, "override"), "c": (0.25, "aperio description")}


def test_a_scan_that_was_not_verified_is_scanned_again_to_verify_it(slides: Path, model: Model) -> None:
    scan_all(slides, model)
    assert statuses(scan_all(slides, model, verify_places=2)) == ["ok", "failed", "ok"]
    again = scan_all(slides, model, verify_places=2)
    assert statuses(again) == ["skipped", "failed", "skipped"]
    assert again[0].tiling_difference == report_of(slides, "a")["verification"]["max_difference"]


def test_a_batch_that_is_broken_off_lets_go_of_the_slide_ahead(slides: Path, model: Model) -> None:
    out = slides.parent / "out"
    jobs = plan_jobs(find_slides([slides / "a.svs", slides / "c.svs"]), out)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    open_files = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(KeyboardInterrupt):
        scan_batch(jobs, BatchOrder(model, {}), out, callbacks=BatchCallbacks(on_progress=stop))
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files


def test_a_batch_prepares_its_network_once(slides: Path, model: Model) -> None:
    order = BatchOrder(model, {})
    jobs = plan_jobs(find_slides([slides / "a.svs", slides / "c.svs"]), slides.parent / "out")
    scorers = []
    for job in jobs:
        surveyed = survey_job(job, order)
        with surveyed.slide:
            scorers.append(order.prepare(surveyed).scorer)
    assert scorers[0].net is scorers[1].net is order.scorer.net
    assert [scorer.slide_name for scorer in scorers] == [str(job.slide) for job in jobs]


def test_each_slide_of_a_batch_is_normalised_by_its_own_stain(slides: Path) -> None:
    model, shown = random_model(stride=4), Normalisation(NormalisationKind.STAIN)
    order = BatchOrder(replace(model, card=replace(model.card, normalisation=shown)), {})
    for job in plan_jobs(find_slides([slides / "a.svs", slides / "c.svs"]), slides.parent / "out"):
        surveyed = survey_job(job, order)
        with surveyed.slide:
            alone = prepare_slide(surveyed.slide, order.model, surveyed.settings)
            torch.testing.assert_close(order.prepare(surveyed).scorer.table, alone.scorer.table, rtol=0, atol=0)
            assert not torch.equal(alone.scorer.table, order.scorer.table)
