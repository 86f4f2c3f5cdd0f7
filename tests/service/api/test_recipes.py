"""The service's recipes run as they are written: docs/service, and the example of its client."""

from __future__ import annotations

import doctest
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.client import Client
from tests.conftest import ROOT
from tests.factories.vendor import write_mirax
from tests.house.pages import blocks
from tests.service.fields import make_field, png
from tests.service.server_process import Server

PAGE = ROOT / "docs" / "service" / "recipes.md"
RECIPES = blocks(PAGE, "sh")
#: Need no server.
FURTHER = [block for name in ("api", "security") for block in blocks(ROOT / "docs" / "service" / f"{name}.md", "sh")]


@pytest.mark.parametrize("recipe", RECIPES, ids=range(len(RECIPES)))
def test_recipes_run_as_written(server: Server, recipe: str, example_slide: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    (tmp_path / "field.png").write_bytes(png(make_field(70)))
    shutil.copy(example_slide, tmp_path / "slide.svs")
    field = make_field(71, 512, 512)
    (tmp_path / "slide-folder").mkdir()
    tiles = {(row, col): field[row : row + 256, col : col + 256] for row in (0, 1) for col in (0, 1)}
    write_mirax(tmp_path / "slide-folder" / "slide.mrxs", tiles, grid=(2, 2))
    script = recipe.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
    command = ["bash", "-euo", "pipefail", "-c", script.replace("curl -sS", "curl -fsS")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"SUCCEEDED"' in done.stdout or '"QUEUED"' in done.stdout


def test_the_python_example_runs(server: Server, example_slide: Path, tmp_path: Path) -> None:
    (example,) = blocks(PAGE, "python")
    shutil.copy(example_slide, tmp_path / "slide.svs")
    script = example.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
    place = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, **place, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert (tmp_path / "detections.geojson").stat().st_size > 0


def test_the_example_of_the_client_runs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "field.png").write_bytes(png(make_field(72)))
    assert Client.__doc__
    said = Client.__doc__.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
    found = doctest.DocTestParser().get_doctest(said, {}, "Client", None, None)
    told: list[str] = []
    assert doctest.DocTestRunner().run(found, out=told.append).failed == 0, "".join(told)


@pytest.mark.parametrize("block", FURTHER, ids=range(len(FURTHER)))
def test_what_needs_no_server_runs_too(block: str, tmp_path: Path) -> None:
    script = block.replace("/srv/mitoscan", str(tmp_path / "data"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    place = {"cwd": tmp_path, "env": os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], **place, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
