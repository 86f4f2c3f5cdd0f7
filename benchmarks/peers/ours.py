"""`mitoscan scan`, which then says what the peers say: seconds of the network, and how many detections."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from service.cli import all_commands


def main() -> None:
    """Scan one slide as the command does: `python -m benchmarks.peers.ours SLIDE MODEL OUT`."""
    slide, model, out = sys.argv[1:]
    command = ["scan", slide, "--model", model, "--out", out, "--overwrite", "--device", "cpu"]
    all_commands()(command, standalone_mode=False)
    report = json.loads((Path(out) / Path(slide).stem / "run.json").read_text(encoding="utf-8"))
    print(json.dumps({"network": report["timing"]["net"], "detections": report["count"]}))


if __name__ == "__main__":
    main()
