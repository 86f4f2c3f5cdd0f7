"""docs/tutorial.md, from an empty folder to the viewer: its commands in their order, with a real scan and server.

The machine has no network then: pip installs the checkout as the tutorial says, and finds what it depends on where this
Python has it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
from playwright.sync_api import Page

from tests.conftest import ROOT, require_system
from tests.house.pages import blocks
from tests.service.server_process import start_process

BLOCKS = blocks(ROOT / "docs" / "tutorial.md", "sh")
#: Seconds that the tutorial may take; it promises two minutes on a machine that does nothing else.
AT_MOST = 600
SLIDE = "CMU-1-Small-Region"
WIDTH, HEIGHT = 2220, 2967

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Walked:
    """What the tutorial leaves."""

    folder: Path
    #: What each block printed.
    printed: dict[str, str]
    seconds: float

    def printed_by(self, words: str) -> str:
        (found,) = [text for block, text in self.printed.items() if words in block]
        return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def environment(port: int) -> dict[str, str]:
    """Without this checkout in the path; pip takes what it needs from this Python's packages, not from an index."""
    packages = str(Path(torch.__file__).parents[1])
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "PYTHONPATH": packages, "MITOSCAN_PORT": str(port)}
    return {**os.environ, "OMP_NUM_THREADS": "1", **offline, **own}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    """The tutorial, walked through; its server runs on."""
    require_system("curl")
    base, port = tmp_path_factory.mktemp("walk"), free_port()
    (base / "mitoscan").symlink_to(ROOT)
    folder = base / "tutorial"
    folder.mkdir()
    printed: dict[str, str] = {}
    servers = []
    started = time.monotonic()
    for block in BLOCKS:
        script = block.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        if "mitoscan serve" in script:
            script = script.replace("mitoscan serve", "exec mitoscan serve")
            with (base / "server.log").open("wb") as log:
                command = ["bash", "-euc", script]
                servers.append(start_process(command, cwd=folder, env=environment(port), stdout=log, stderr=log))
            continue
        # Each block goes on in the shell of the first, in which the environment is active.
        active = ". .venv/bin/activate; " if (folder / ".venv").exists() else ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", active + script],
            cwd=folder,
            env=environment(port),
            capture_output=True,
            text=True,
            timeout=AT_MOST,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        printed[block] = done.stdout + done.stderr
    yield Walked(folder, printed, time.monotonic() - started)
    for server in servers:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def test_it_takes_less_than_ten_minutes(walked: Walked) -> None:
    assert walked.seconds < AT_MOST


def test_commands_print_what_the_page_shows(walked: Walked) -> None:
    shown = "\n".join(blocks(ROOT / "docs" / "tutorial.md", "text"))
    scanned = walked.printed_by("mitoscan scan")
    counted = r"\d+ detections in [\d.]+ mm2 of tissue"
    assert re.search(counted, shown)[0] == re.search(counted, scanned)[0]
    looked = walked.printed_by("mitoscan info")
    assert [line for line in shown.splitlines() if "image 0" in line or "scan by" in line] == [
        line for line in looked.splitlines() if "image 0" in line or "scan by" in line
    ]
    assert "detections.geojson" in scanned


def test_it_runs_what_it_installs(walked: Walked) -> None:
    where = [walked.folder / ".venv" / "bin" / "python", "-c", "import scanner; print(scanner.__file__)"]
    bare = {"PYTHONPATH": environment(0)["PYTHONPATH"]}
    found = subprocess.run(where, env=bare, cwd=walked.folder, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()).is_relative_to(walked.folder)


def test_geojson_lies_on_the_slide_as_qupath_reads_it(walked: Walked) -> None:
    results = walked.folder / "out" / SLIDE
    features = json.loads((results / "detections.geojson").read_text())["features"]
    assert features
    for feature in features:
        x, y = feature["geometry"]["coordinates"]
        assert 0 <= x < WIDTH
        assert 0 <= y < HEIGHT
        assert feature["properties"]["classification"]["name"] == "Mitosis"
        assert "Score" in feature["properties"]["measurements"]
    assert json.loads((results / "regions.geojson").read_text())["features"]


def test_the_viewer_shows_the_slide(walked: Walked, page: Page) -> None:
    address = re.search(r"http://\S+/view", walked.printed_by("['links']['view']"))
    assert address
    count = httpx.get(address[0].removesuffix("/view")).raise_for_status().json()["count"]
    page.goto(address[0])
    page.wait_for_selector("body[data-result=shown]")
    assert page.inner_text("#count") == str(count)
