"""What the commands share: errors as one line on stderr, and the exit code that goes with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models import save_model
from tests.cli.commands import in_process, write_slide
from tests.dense.test_capabilities import AVX2
from tests.networks.small_models import random_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, random_model(stride=4))
    return str(folder)


@pytest.mark.parametrize(
    "arguments", [("scan", "SLIDE", "-o", "OUT"), ("scan", "SLIDE", "-o", "OUT", "--dry-run"), ("bench", "SLIDE")]
)
@pytest.mark.parametrize(
    ("option", "reason"),
    [("--precision=bfloat16", "on cpu: .* it has float32"), ("--device=cuda:63", "torch can use cpu")],
)
def test_what_the_machine_has_not_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, arguments: tuple[str, ...], option: str, reason: str
) -> None:
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: AVX2)
    places = {"SLIDE": str(write_slide(tmp_path / "a.svs")), "OUT": str(tmp_path / "out")}
    device = [] if "device" in option else ["--device=cpu"]
    code, stdout, stderr = in_process(
        *(places.get(part, part) for part in arguments), option, *device, "--model", model
    )
    assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert re.search(reason, stderr)
    assert not (tmp_path / "out").exists()


def test_a_worker_whose_device_is_not_there_ends_before_it_takes_a_job(tmp_path: Path) -> None:
    code, stdout, stderr = in_process("worker", "--device", "cuda:63", "--data", tmp_path / "data")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert "device 'cuda:63' is not available" in stderr
    assert not (tmp_path / "data").exists()
