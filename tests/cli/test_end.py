"""The end of a command: quick, with its exit code, after all that was registered for it, and with all of its output."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = """
import atexit, sys
from service.cli import main
atexit.register(print, "registered")
sys.argv = ["mitoscan", *sys.argv[1:]]
main()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["models"], 0), (["models", "--nonsense"], 2), (["certify", "no"], 1)]
)
def test_what_is_registered_runs_before_a_command_ends(arguments: list[str], code: int) -> None:
    done = run(*arguments)
    assert done.returncode == code
    assert done.stdout.endswith("registered\n")
    assert (code == 0) == ("mitosis-2" in done.stdout)


def test_a_reader_that_has_gone_is_no_success() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "models", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=120) != 0
