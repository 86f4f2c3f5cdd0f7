"""The story of docs/how-to/own-task.md, as it is written there: only the steps of the training are fewer."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from models import load_model
from scanner.training.recipe import Augmentation, Recipe
from tests.conftest import ROOT
from tests.service.server_process import Server

TEXT = (ROOT / "docs" / "how-to" / "own-task.md").read_text()
#: Height and width of a field, and the radius of its cells.
FIELD, CELL_PX = (200, 240), 6
#: Radius of the viewer's rings, 12 um, at the recipe's 0.5 um/px.
RING_PX = 24


def block(language: str, containing: str) -> str:
    """The block of code in the page that holds that text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return found


def write_field(folder: Path, seed: int) -> None:
    """A field with dark cells, and QuPath's GeoJSON of them."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal((215, 160, 200), 10, (*FIELD, 3))
    rows, cols = np.mgrid[: FIELD[0], : FIELD[1]]
    cells = [(row, col) for row in range(24, 180, 38) for col in range(24, 220, 44)]
    cells = [(row + int(rng.integers(-5, 6)), col + int(rng.integers(-5, 6))) for row, col in cells]
    for row, col in cells:
        pixels[np.hypot(rows - row, cols - col) <= CELL_PX] = (90, 40, 120)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"field-{seed}.png")
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [col, row]},
            "properties": {"objectType": "annotation", "classification": {"name": "Cell", "color": [0, 145, 70]}},
        }
        for row, col in cells
    ]
    content = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / "labels" / f"field-{seed}.geojson").write_text(content)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's data, network and recipe."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("images", "labels"):
        (folder / "data" / name).mkdir(parents=True)
    for seed in range(1, 6):
        write_field(folder / "data", seed)
    (folder / "network.py").write_text(block("python", "def build"))
    recipe = block("toml", "network.py")
    assert "steps = 1500\n" in recipe
    (folder / "recipe.toml").write_text(recipe.replace("steps = 1500", "steps = 60"))
    return folder


@pytest.mark.slow
def test_the_story_runs_as_it_is_written(workplace: Path, page: Page, picture: Callable[[str], np.ndarray]) -> None:
    for line in block("sh", "mitoscan certify").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "mitoscan"
        command = [sys.executable, "-m", "service.cli", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    card = load_model(workplace / "models" / "my-cells").card
    assert (card.architecture, card.training["cases"]) == ("layers", ["field-1", "field-2", "field-3"])
    assert {"seed", "data_sha256", "tuned_on"} <= card.training.keys()
    for name in ("training.csv", "training.png"):
        assert (workplace / "models" / "my-cells" / name).is_file()
    assert not list((workplace / "models" / "my-cells").glob("*.checkpoint"))
    assert json.loads((workplace / "certificate.json").read_text())["is_exact"]
    evaluation = json.loads((workplace / "evaluation" / "evaluation.json").read_text())
    assert evaluation["pooled"]["f1"] > 0.8
    assert json.loads((workplace / "out" / "field-5" / "run.json").read_text())["count"] > 0
    _look_at_it(workplace, page, picture)


def _look_at_it(workplace: Path, page: Page, picture: Callable[[str], np.ndarray]) -> None:
    """The last part of the story: `serve`, `curl`, and the page in a browser."""
    serve, curl = block("sh", "mitoscan serve").splitlines()
    assert serve == "MITOSCAN_MODELS=models mitoscan serve"
    url = re.search(r"'http://127\.0\.0\.1:8000(/\S+)'", curl)
    path = re.search(r"file=@(\S+)", curl)
    assert url
    assert path
    with Server(workplace, workplace / "models", MITOSCAN_DEFAULT_MODEL="my-cells") as server:
        server.start()
        with (workplace / path[1]).open("rb") as file:
            answer = server.client.post(url[1], files={"file": file}).raise_for_status().json()
        scanned = json.loads((workplace / "out" / "field-5" / "run.json").read_text())
        assert answer["count"] == scanned["count"]
        page.goto(f"{server.client.base_url}/jobs/{answer['id']}/view")
        page.wait_for_selector("body[data-result=shown]")
        assert page.inner_text("#count") == str(answer["count"])
        for layer in ("#show-hotspot", "#show-tissue", "#show-map"):
            page.uncheck(layer)
        marked = picture("your-own")
        page.uncheck("#show-marks")
        plain = picture("your-own-unmarked")
        box = page.evaluate("document.querySelector('#slide').getBoundingClientRect().toJSON()")
    _check_view(plain, marked, answer["detections"], box)


def _check_view(
    plain: np.ndarray, marked: np.ndarray, detections: list[dict[str, float]], box: dict[str, float]
) -> None:
    """The field fills the page's box; each detection is a dark cell with a ring around it, and nothing else has one."""
    scale = min(box["width"] / FIELD[1], box["height"] / FIELD[0])
    left, top = (box["x"] + (box["width"] - scale * FIELD[1]) / 2, box["y"] + (box["height"] - scale * FIELD[0]) / 2)
    rows, cols = np.mgrid[: plain.shape[0], : plain.shape[1]]
    distances = np.stack(
        [np.hypot(rows - top - (d["y"] + 0.5) * scale, cols - left - (d["x"] + 0.5) * scale) for d in detections]
    )
    is_ring = (np.abs(marked - plain) > 40).any(axis=-1)
    navigator = (rows < 0.25 * box["height"]) & (cols > box["x"] + 0.75 * box["width"])
    is_field = (cols >= left) & ~navigator
    for distance in distances:
        assert plain[distance < CELL_PX * scale / 2].mean(axis=0) == pytest.approx((90, 40, 120), abs=15)
        assert is_ring[is_field & (np.abs(distance - RING_PX * scale) < 2)].mean() > 0.5
    assert not is_ring[is_field & (np.abs(distances - RING_PX * scale).min(axis=0) > 4)].any()


def test_every_key_of_a_recipe_is_documented() -> None:
    table = (ROOT / "docs" / "reference" / "recipe.md").read_text()
    names = {field.name for kind in (Recipe, Augmentation) for field in fields(kind)}
    assert {name for name in names if f"`{name}`" not in table} == set()
