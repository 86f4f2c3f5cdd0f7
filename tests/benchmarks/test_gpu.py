"""The benchmark of a GPU runs from end to end without one, small, so that it runs where there is one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("network", ["DNN1", "ValidNet"])
def test_a_rehearsal_has_every_table_and_exact_scores(network: str) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--networks", network]
    done = subprocess.run([*command, "--precisions", "float32"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^#+ (.*)$", done.stdout, re.MULTILINE) == [
        "cpu",
        f"{network}, q = 8",
        f"{network}, q = 8, tile 64: unit by unit",
        f"{network}, q = 8, tile 64: stage by stage",
        f"{network}: the loop, pixels in, scores out",
    ]
    errors = re.findall(r"^\| float32 \| 64 \| (?:dilation|fragments) .* \| ([\d.e+-]+) \|$", done.stdout, re.MULTILINE)
    assert len(errors) == 2
    assert all(float(error) < 1e-5 for error in errors)
