"""Every command that looks at a field says when its mpp is assumed, and refuses one that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from typer.testing import CliRunner, Result

from models import save_model
from scanner.cli.app import app
from tests.factories.slides import texture
from tests.networks.small_models import random_model

#: Arguments of a command that looks at the field in that folder.
Command = Callable[[Path], list[str]]

SILENT = "a picture"
STATED = "ImageJ=1.54f\nunit=um\n"
UNUSABLE = "ImageJ=1.54f\nunit=furlong\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(folder, random_model())
    return str(folder)


def write_field(folder: Path, description: str) -> None:
    (folder / "images" / "histopathology").mkdir(parents=True)
    path = folder / "images" / "histopathology" / "field.tif"
    options = {"description": description, "resolution": (4, 4), "resolutionunit": "NONE"}
    tifffile.imwrite(path, texture(150, 150), photometric="rgb", metadata=None, **options)


def scan_of(folder: Path) -> list[str]:
    return ["scan", str(folder / "images" / "histopathology"), "-o", str(folder / "out"), "--no-tissue"]


def dry_run_of(folder: Path) -> list[str]:
    return [*scan_of(folder), "--dry-run"]


def bench_of(folder: Path) -> list[str]:
    return ["bench", str(folder / "images" / "histopathology" / "field.tif")]


def challenge_of(folder: Path) -> list[str]:
    return ["grand-challenge", "--input", str(folder), "--output", str(folder / "out")]


COMMANDS = [scan_of, dry_run_of, bench_of, challenge_of]


def run(command: Command, folder: Path, model: str) -> Result:
    return CliRunner().invoke(app, [*command(folder), "--model", model])


def lines_on_assumption(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "is assumed" in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_silent_field_is_said_to_be_assumed(tmp_path: Path, model: str, command: Command) -> None:
    write_field(tmp_path, SILENT)
    result = run(command, tmp_path, model)
    assert result.exit_code == 0, result.output
    (line,) = lines_on_assumption(result)
    assert "field.tif: its mpp is not stated; the model's 0.25 um/px is assumed; pass --mpp" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_field_that_states_its_mpp_is_not(tmp_path: Path, model: str, command: Command) -> None:
    write_field(tmp_path, STATED)
    result = run(command, tmp_path, model)
    assert result.exit_code == 0, result.output
    assert lines_on_assumption(result) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_field_that_states_what_cannot_be_used_is_refused(tmp_path: Path, model: str, command: Command) -> None:
    write_field(tmp_path, UNUSABLE)
    result = run(command, tmp_path, model)
    assert result.exit_code == 1
    assert "'furlong', which is unknown; pass the right value with --mpp" in result.stderr


def test_a_scan_that_was_done_before_says_it_again_and_so_does_the_batch(tmp_path: Path, model: str) -> None:
    write_field(tmp_path, SILENT)
    run(scan_of, tmp_path, model)
    for command in (scan_of, dry_run_of):
        assert len(lines_on_assumption(run(command, tmp_path, model))) == 1
    (slide,) = json.loads((tmp_path / "out" / "batch.json").read_text())["slides"]
    assert slide["assumed_mpp"] == 0.25


@pytest.mark.parametrize(("options", "is_assumed"), [([], True), (["--field-mpp", "0.25"], False)])
def test_evaluate_says_that_the_fields_mpp_is_assumed(
    tmp_path: Path, model: str, options: list[str], is_assumed: bool
) -> None:
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", texture(150, 150), photometric="rgb")
    (tmp_path / "labels.csv").write_text("image,x,y\na.tif,70,80\n")
    arguments = ["evaluate", model, "--data", str(tmp_path), "-o", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert len(lines_on_assumption(result)) == is_assumed
