"""Each form and precision of a device has its line; a default form that is wrong is a problem, an optional one not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from scanner.cli import doctor_forms
from scanner.cli.doctor import Finding
from scanner.cli.doctor_forms import compare_forms
from scanner.dense import Form
from scanner.dense.conversion.fragments import run_fragments
from scanner.devices.gpu_forms import GpuForm
from scanner.errors import SettingsError
from scanner.inference.scorer import Scorer, prepare_scorer
from service.cli import all_commands
from tests.devices.gpu_failures import FAILURES, FakeCard, install
from tests.networks.small_models import random_model

DILATION = "scanner.dense.dense_net.run_dilated"
FRAGMENTS = "scanner.dense.dense_net.run_fragments"


def line(findings: list[Finding], *words: str) -> Finding:
    (found,) = [one for one in findings if all(word in one.name for word in words)]
    return found


def test_a_right_machine_has_a_line_for_each_form_and_no_problem() -> None:
    findings = compare_forms("cpu", random_model())
    assert all(one.is_fine for one in findings)
    for form in (Form.DILATION, Form.FRAGMENTS):
        assert "largest difference" in line(findings, "float32", form).detail
    assert sum("(default)" in one.name for one in findings if ", float32, " in one.name) == 1


@pytest.mark.parametrize("failure", FAILURES)
def test_an_optional_form_that_fails_is_said_and_is_no_problem(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FRAGMENTS, lambda *arguments: FAILURES[failure](run_fragments(*arguments)))
    findings = compare_forms("cpu", random_model())
    found = line(findings, "cpu, float32, fragments")
    assert found.is_fine
    assert found.detail.startswith(("wrong: ", "does not run: "))
    assert all(one.is_fine for one in findings)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_default_form_that_fails_is_a_problem(failure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a card that is none: the scorer's device is the CPU's, its forms are those of a card."""
    card: FakeCard = install(monkeypatch, tmp_path)
    card.broken = {GpuForm.DILATION: (failure, 0)}
    model = random_model()
    scorer: Scorer = doctor_forms.as_logits(prepare_scorer(model, None, stride=2, device="cpu"))
    pixels = doctor_forms.probe_pixels((1, 60, 60, 3))
    queue = doctor_forms._open_queue(scorer, Form.DILATION, pixels.shape)
    check = doctor_forms._Check(model, pixels, doctor_forms._scores(queue, pixels))
    for form in GpuForm:
        found = doctor_forms._finding(scorer, form, check, is_default=form is GpuForm.DILATION)
        assert found.is_fine == (form is not GpuForm.DILATION), found
        assert found.detail.startswith(("wrong", "does not run")) == (form is GpuForm.DILATION)


def test_the_command_ends_with_1_where_the_default_form_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(all_commands(), ["doctor", *arguments])
        return done.exit_code, done.stdout, done.stderr

    code, stdout, _ = run("--device", "cpu")
    assert code == 0, stdout
    assert "cpu, float32, dilation" in stdout
    monkeypatch.setattr(doctor_forms, "compare_forms", lambda _device: [Finding("cpu, float32", "wrong", False)])
    code, stdout, _ = run("--device", "cpu")
    assert code == 1
    assert "PROBLEM" in stdout
    monkeypatch.undo()
    code, _, stderr = run("--device", "toaster")
    assert (code, "toaster" in stderr) == (1, True)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(SettingsError, match="toaster"):
        compare_forms("toaster")


@pytest.mark.gpu
def test_a_real_card_is_right_in_its_default_form() -> None:
    findings = compare_forms("cuda", random_model())
    assert all(one.is_fine for one in findings), findings
    assert {f"cuda, float32, {form}" for form in GpuForm} <= {one.name.split(" (")[0] for one in findings}


def test_logits_show_what_probabilities_hide() -> None:
    """A logit of 20 instead of 30 is a probability of 1 either way."""
    scores: Tensor = torch.tensor([[[[0.0]], [[30.0]]]])
    scorer = prepare_scorer(random_model(), None, stride=2, device="cpu")
    assert torch.equal(
        scorer.probability(scores), scorer.probability(scores - torch.tensor([0.0, 10.0])[:, None, None])
    )
    assert torch.equal(doctor_forms.as_logits(scorer).probability(scores), scores)
