"""What a command costs before it does anything, and a scan of the example outside the `total` of its run.json.

python -m benchmarks.start
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scanner.dense.capabilities import describe_machine

EXAMPLE = Path(__file__).parent.parent / "examples" / "CMU-1-Small-Region.svs"
COMMANDS = (
    "--help",
    "scan --help",
    "models",
    "models --json",
    "scan --nosuch",
    "scan gone.svs -o OUT",
    "certify nosuch",
)
RUNS = 5


def processor_seconds(arguments: list[str], folder: str) -> float:
    """User and system time of one run of the command."""
    before = os.times()
    command = [sys.executable, "-m", "service.cli", *arguments]
    subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def seconds_outside_total(folder: str) -> float:
    """Wall time of a scan that is not in its run.json."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "service.cli", "scan", str(EXAMPLE), "-o", folder, "--overwrite"]
    subprocess.run(command, env=_environment(), capture_output=True, check=True)
    wall = time.perf_counter() - started
    return wall - float(json.loads((Path(folder) / EXAMPLE.stem / "run.json").read_text())["timing"]["total"])


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(EXAMPLE.parent.parent)}


def main() -> None:
    """Print a table."""
    print(f"{describe_machine()}; median of {RUNS}\n\n| command | s |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            runs = [processor_seconds(command.split(), folder) for _ in range(RUNS)]
            print(f"| `mitoscan {command}`, processor | {statistics.median(runs):.2f} |", flush=True)
        runs = [seconds_outside_total(folder) for _ in range(RUNS)]
        print(f"| scan of the example, outside `total`, wall | {statistics.median(runs):.2f} |")


if __name__ == "__main__":
    main()
