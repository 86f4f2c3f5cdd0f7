"""The command line in a process of its own, or in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from service.cli import all_commands
from tests.factories.slides import texture, write_pyramid

COMMAND = [sys.executable, "-m", "service.cli"]


def write_slide(path: Path, side: int = 150, *, mpp: float | None = 0.25, levels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pyramid(path, texture(side, side), levels=levels, mpp=mpp)
    return path


def mitoscan(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def in_process(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, without the seconds that a new process takes."""
    result = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(all_commands(), list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr
