"""No bytes bring anything but our own errors, in any format."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.factories.mutations import WRITERS

ROUNDS = 25  # of each format; seeded


def test_mutations_of_every_format_raise_our_errors_only(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.factories.mutations", str(tmp_path), str(ROUNDS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Traceback" not in run.stderr
    opened = ast.literal_eval(run.stdout)
    assert opened.keys() == WRITERS.keys()
    # Neither all harmless nor all refused: then the mutations would test nothing.
    assert 0.1 < sum(opened.values()) / (ROUNDS * len(WRITERS)) < 0.95, opened
