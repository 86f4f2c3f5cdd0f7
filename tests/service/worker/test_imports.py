"""A worker is no web server: it loads what it scans with, and no framework for HTTP."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_loads_no_web_framework() -> None:
    script = """
import sys
import service.worker.process, service.worker.worker
print(sorted({name.partition(".")[0] for name in sys.modules} & {"fastapi", "starlette", "uvicorn"}))
print(sorted(name for name in sys.modules if name.startswith("service.api")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
