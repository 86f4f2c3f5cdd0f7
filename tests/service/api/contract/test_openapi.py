"""The live API keeps to its own description: schemathesis finds nothing with its default checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.service.server_process import Server

EXAMPLES = "6"


def test_the_live_api_keeps_to_its_description(server: Server, tmp_path: Path) -> None:
    address = f"{server.client.base_url}/openapi.json"
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "--config-file",
        Path(__file__).with_name("schemathesis.toml"),
        "run",
        address,
        "--max-examples",
        EXAMPLES,
        "--no-color",
        "--request-timeout",
        "60",
    ]
    done = subprocess.run(
        [*map(str, command), "--seed", "1", "--continue-on-failure"],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("png_uploads.py"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
