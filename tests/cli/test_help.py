"""Commands that need no slide: help, models, doctor."""

from __future__ import annotations

import json
import re

import pytest
import typer

from service.cli import all_commands
from tests.cli.commands import in_process

COMMANDS = sorted(typer.main.get_command(all_commands()).commands)  # type: ignore[attr-defined]


def test_models_are_listed_for_people_and_programs() -> None:
    code, stdout, _ = in_process("models")
    assert (code, "(default)" in stdout) == (0, True)
    code, stdout, _ = in_process("models", "--json")
    assert code == 0
    for card in json.loads(stdout):
        assert card.keys() >= {"name", "version", "mpp", "patch_size", "stride", "threshold", "radius_um", "sha256"}


def test_doctor_finds_this_machine_fit() -> None:
    code, stdout, _ = in_process("doctor")
    assert code == 0, stdout
    for name in ("python", "torch", "device", "readers", "models", "disk"):
        assert re.search(rf"^ok +{name}: \S", stdout, re.MULTILINE), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    code, stdout, _ = in_process(command, "--help")
    assert code == 0
    summary = [line.strip() for line in stdout.splitlines() if line.strip()][1]
    assert summary.endswith((".", ":")) or len(summary.split()) > 3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(command: str) -> None:
    parameters = typer.main.get_command(all_commands()).commands[command].params  # type: ignore[attr-defined]
    assert [parameter.name for parameter in parameters if not (parameter.help or parameter.hidden)] == []


def test_the_notice_stands_in_the_help() -> None:
    assert "Research use only" in in_process("--help")[1]
