"""Clients of tus that others have written resume a slide of 200 MB over a line that breaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.service.uploads import digest, pieces
from tests.conftest import refuse, require_system
from tests.service.local_servers import BreakingLine
from tests.service.server_process import Server

SIZE = 200_000_000
#: Bytes after which the line is cut.
BREAKS = (30_000_000, 90_000_000, 91_000_000, 170_000_000)
HERE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    environment = {"MITOSCAN_WORKERS": "0", "MITOSCAN_MIN_FREE_BYTES": "1"}
    with Server(folder, models_folder, **environment).start(wait_for_worker=False) as running:
        yield running


@pytest.fixture
def line(server: Server) -> Iterator[BreakingLine]:
    opened = BreakingLine(server.client.base_url.host, server.client.base_url.port, BREAKS)
    yield opened
    opened.close()


def write_slide(path: Path, seed: int) -> Path:
    with path.open("wb") as file:
        for piece in pieces(SIZE, seed):
            file.write(piece)
    return path


def assert_whole(server: Server, url: str, *, seed: int, name: str) -> None:
    path = httpx.URL(url).path
    said = server.client.head(path, headers={"Tus-Resumable": "1.0.0"})
    assert said.headers["upload-offset"] == said.headers["upload-length"] == str(SIZE)
    stored = server.folder / "data" / "uploads" / digest(SIZE, seed) / "slide.tif"
    assert stored.stat().st_size == SIZE
    body = {"source": {"upload": path.rsplit("/", 1)[-1]}}
    job = server.client.post("/detect", json=body, headers={"Prefer": "respond-async"})
    assert (job.status_code, job.json()["name"]) == (202, name)


def upload_by(command: list[str | Path], line: BreakingLine, slide: Path) -> str:
    """The address of the upload that a client has made over the line."""
    done = subprocess.run(
        [*command, f"{line.address}/uploads/tus", slide], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert line.breaks_left == 0
    return done.stdout.strip()


@pytest.mark.slow
def test_tuspy_resumes_a_broken_upload(server: Server, line: BreakingLine, tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "by tuspy.tif", 11)
    url = upload_by([sys.executable, HERE / "tuspy_upload.py"], line, slide)
    assert_whole(server, url, seed=11, name=slide.name)


@pytest.mark.slow
def test_tus_js_client_resumes_a_broken_upload(server: Server, line: BreakingLine, tmp_path: Path) -> None:
    node = require_system("node")
    if not (HERE / "js" / "node_modules" / "tus-js-client").is_dir():
        refuse("needs tus-js-client: npm ci in tests/service/js")
    slide = write_slide(tmp_path / "by tus-js-client.tif", 12)
    url = upload_by([node, HERE / "js" / "upload.mjs"], line, slide)
    assert_whole(server, url, seed=12, name=slide.name)
