"""Whatever an optional form of a GPU does, the scan ends with the default form's results, and says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models import Model, save_model
from scanner import ScanResult, scan
from scanner.dense import Form, densify
from scanner.devices.device_queue import HostQueue, StageSeconds
from scanner.devices.gpu_forms import FallbackQueue, FormChoice, GpuForm
from scanner.errors import DeviceMemoryError, NonFiniteScoreError
from scanner.inference.form_choice import SET_UP, TIMED
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.scanning import prepare_slide, scan_prepared
from scanner.settings import ScanSettings
from scanner.slides import open_slide
from tests.conftest import ROOT
from tests.devices.gpu_failures import FAILURES, FakeCard, install
from tests.factories.slides import texture, write_pyramid
from tests.inference.test_non_finite import field as field_of
from tests.inference.test_non_finite import overflowing_model
from tests.networks.small_models import random_model

OPTIONAL = [form for form in GpuForm if form is not GpuForm.DILATION]
#: Launches of a form before the first tile.
TRIED = SET_UP + TIMED
#: At run time there is nothing to compare numbers with.
SEEN_AT_RUN_TIME = [name for name in FAILURES if "wrong" not in name and "shape" not in name]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    return install(monkeypatch, tmp_path / "cache")


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_pyramid(tmp_path / "slide.svs", texture(150, 190), levels=1)
    return tmp_path / "slide.svs"


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model()


def measured(slide: Path, model: Model, out: Path | None = None, **keywords: object) -> ScanResult:
    return scan(slide, model, out, device="cpu", gpu_form="measured", **{"tile_size": 32, **keywords})  # type: ignore[arg-type]


def assert_same(found: ScanResult, expected: ScanResult) -> None:
    np.testing.assert_array_equal(np.asarray(found.map), np.asarray(expected.map))
    assert found.candidates == expected.candidates
    assert len(found.candidates) > 3


def test_the_default_form_is_taken_and_nothing_is_tried(card: FakeCard, slide: Path, model: Model) -> None:
    form = scan(slide, model, device="cpu", tile_size=32).report["form"]
    assert form == {"name": "dilation", "seconds": {}, "disqualified": {}, "fallbacks": []}
    assert not card.launches


@pytest.mark.parametrize("failure", FAILURES)
def test_a_form_that_fails_while_it_is_tried_is_never_used(
    card: FakeCard, slide: Path, model: Model, failure: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = scan(slide, model, device="cpu", tile_size=32)
    card.break_all(failure)
    found = measured(slide, model, tmp_path / "out")
    assert_same(found, expected)
    form = json.loads((tmp_path / "out" / "run.json").read_text())["form"]
    assert (form["name"], list(form["seconds"]), form["fallbacks"]) == ("dilation", ["dilation"], [])
    assert set(form["disqualified"]) == set(OPTIONAL)
    assert all(form["disqualified"].values())
    assert all(f"form {one} is not used" in caplog.text for one in OPTIONAL)
    assert not (tmp_path / "cache" / "mitoscan" / "forms.json").exists()
    assert all(card.launches[one] == 1 for one in OPTIONAL)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_form_that_fails_when_it_is_captured_or_timed_is_out_and_the_others_are_not(
    card: FakeCard, slide: Path, model: Model, failure: str
) -> None:
    # Compared are the first launches alone: later ones are only timed.
    card.broken = {GpuForm.TRITON_GRAPH: (failure, 1)}
    form = measured(slide, model).report["form"]
    assert form["name"] in set(GpuForm) - {GpuForm.TRITON_GRAPH}
    assert list(form["disqualified"]) == ["triton-graph"]
    assert set(form["seconds"]) == set(GpuForm) - {"triton-graph"}
    assert not form["fallbacks"]


@pytest.mark.parametrize("failure", SEEN_AT_RUN_TIME)
@pytest.mark.parametrize("later", [0, 3])
def test_a_form_that_fails_at_run_time_gives_way_and_the_tile_is_scored_again(
    card: FakeCard, slide: Path, model: Model, failure: str, later: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = scan(slide, model, device="cpu", tile_size=32)
    card.break_all(failure, after=TRIED + later)
    found = measured(slide, model)
    assert_same(found, expected)
    form = found.report["form"]
    assert form["name"] == "triton-graph"
    (reason,) = form["fallbacks"]
    assert reason.startswith("triton-graph: ")
    assert reason.partition(": ")[2] in caplog.text
    assert not form["disqualified"]
    # Two tiles may be on their way when the first one fails; after that, none is tried.
    assert card.launches[GpuForm.TRITON_GRAPH] <= TRIED + later + 2


def test_the_fastest_form_is_used_for_all_tiles_and_captures_the_full_one(
    card: FakeCard, slide: Path, model: Model
) -> None:
    seen = []
    found = measured(slide, model, on_progress=seen.append)
    form = found.report["form"]
    assert (form["name"], form["fallbacks"], form["disqualified"]) == ("triton-graph", [], {})
    assert set(form["seconds"]) == set(GpuForm)
    assert min(form["seconds"], key=form["seconds"].__getitem__) == "triton-graph"
    assert card.launches[GpuForm.TRITON_GRAPH] >= TRIED + seen[-1].tiles_total
    side = 32 - 2 + 21  # 16 outputs, 2 px apart, each of which sees 21.
    assert set(card.shapes) == {(1, side, side, 3)}
    assert_same(found, scan(slide, model, device="cpu", tile_size=32))


def test_a_default_form_without_memory_for_the_trial_leaves_nothing_to_compare_with(
    card: FakeCard, slide: Path, model: Model
) -> None:
    card.broken = {GpuForm.DILATION: ("out of memory", 0)}
    form = measured(slide, model).report["form"]
    assert form["name"] == "dilation"
    assert "OutOfMemoryError" in form["disqualified"]["dilation"]
    assert "nothing to compare" in form["disqualified"]["triton"]


@pytest.mark.parametrize("keywords", [{"engine": "patch", "stride": 8}, {"coarse_to_fine": True}, {"engine": "zones"}])
def test_other_engines_have_no_forms(card: FakeCard, slide: Path, model: Model, keywords: dict[str, object]) -> None:
    report = measured(slide, model, **keywords).report
    assert list(report["form"]) == ["name"]
    assert not card.launches


def test_scores_that_are_not_finite_in_the_default_form_too_are_an_error(card: FakeCard, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteScoreError, match=r"white\.png: .*form triton-graph"):
        measured(field_of(tmp_path / "white.png", is_white=True), overflowing_model(), tissue=False)


def test_a_lane_with_no_room_for_either_form_says_so_to_who_can_halve_the_tile() -> None:
    def starved(_pixels: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    choice = FormChoice(GpuForm.TRITON, (1, 4, 4, 3))
    queues = [HostQueue(starved, StageSeconds()) for _ in range(2)]
    with closing(FallbackQueue(choice, lambda: queues[0], lambda: queues[1])) as queue:
        with pytest.raises(torch.OutOfMemoryError):
            queue.launch([np.zeros((4, 4, 3), np.uint8)]).result()
        queue.free_memory()
    assert len(choice.fallbacks) == 1


def test_a_tile_too_large_for_either_form_is_scored_in_halves(card: FakeCard, slide: Path, model: Model) -> None:
    class Small(torch.nn.Module):
        """Has memory for 60 outputs."""

        stride, form = 2, Form.DILATION

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = net(images)
            if logits[0, 0].numel() > 60:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return logits

    expected = scan(slide, model, device="cpu", tile_size=32)
    card.break_all("out of memory", after=TRIED)
    settings = ScanSettings(device="cpu", gpu_form="measured", tile_size=32)
    with open_slide(slide) as opened:
        prepared = prepare_slide(opened, model, settings)
        net = prepared.scorer.net
        choice = FormChoice(GpuForm.TRITON, (1, 51, 51, 3), fallbacks=["triton: CUDA out of memory"])
        scorer = replace(prepared.scorer, net=Small(), choice=choice)
        try:
            found = scan_prepared(replace(prepared, scorer=scorer))
        except DeviceMemoryError:
            pytest.fail("it can be halved")
    np.testing.assert_allclose(np.asarray(found.map), np.asarray(expected.map), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", [Form.DILATION, Form.FRAGMENTS])
@torch.inference_mode()
def test_a_dense_net_in_another_form_shares_its_layers(form: Form, model: Model) -> None:
    dense = densify(model.net, 21, 2)
    other = dense.in_form(form)
    assert (other.form, other.training) == (form, False)
    assert {id(one) for one in other.parameters()} == {id(one) for one in dense.parameters()}
    images = torch.rand(1, 3, 60, 71)
    torch.testing.assert_close(other(images), dense(images), rtol=0, atol=1e-5)


def test_the_forms_of_a_real_dense_net_run_through_their_own_lanes(model: Model) -> None:
    """No stand-in: what a card would be asked for, without graphs, on the CPU."""
    scorer: Scorer = prepare_scorer(model, None, stride=2, device="cpu")
    pixels = texture(60, 71)
    for form in (GpuForm.DILATION, GpuForm.FRAGMENTS):
        with closing(scorer.open_form(form, (1, 60, 71, 3), StageSeconds())) as queue:
            np.testing.assert_allclose(queue.launch([pixels]).result(), scorer(pixels[None]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_triton_itself_fails_on_a_host_without_a_card_and_the_scan_goes_on(tmp_path: Path, slide: Path) -> None:
    """Triton as it is installed, told to compile and not to interpret: what it raises here is no error of its own."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    save_model(tmp_path / "model", random_model())
    script = """
import sys
from models import load_model
from scanner import scan
from scanner.inference import form_choice
from scanner.dense.gpu.triton_chain import TritonChain
form_choice.has_forms = lambda scorer: True
TritonChain.takes = staticmethod(lambda images: True)
scan(sys.argv[1], load_model(sys.argv[2]), sys.argv[3], device="cpu", gpu_form="measured", tile_size=64).map.close()
"""
    command = [sys.executable, "-c", script, str(slide), str(tmp_path / "model"), str(tmp_path / "out")]
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    form = json.loads((tmp_path / "out" / "run.json").read_text())["form"]
    assert set(form["disqualified"]) == {"triton", "triton-graph"}
    assert "driver" in form["disqualified"]["triton"], form
    assert not form["disqualified"]["triton"].startswith(("TritonUnavailableError", "SettingsError"))
    assert form["name"] in {"dilation", "fragments", "dilation-graph", "fragments-graph"}
