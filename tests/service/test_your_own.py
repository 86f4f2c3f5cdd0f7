"""The story of docs/your-own.md, as it is written there: only the steps of the training are fewer."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import load_model
from scanner.training.recipe import Augmentation, Recipe
from tests.conftest import ROOT
from tests.service.conftest import Server

TEXT = (ROOT / "docs" / "your-own.md").read_text()
CELL_PX = 6


def block(language: str, containing: str) -> str:
    """The block of code in the page that holds that text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return found


def write_field(folder: Path, seed: int) -> None:
    """A field with dark cells, and QuPath's GeoJSON of them."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal((215, 160, 200), 10, (200, 240, 3))
    rows, cols = np.mgrid[:200, :240]
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
def test_the_story_runs_as_it_is_written(workplace: Path) -> None:
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
    _look_at_it(workplace)


def _look_at_it(workplace: Path) -> None:
    """The last part of the story: `serve` and `curl`."""
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
        page = server.client.get(f"/jobs/{answer['id']}/view")
        assert page.status_code == 200
        assert server.client.get(f"/jobs/{answer['id']}/files/map.png").status_code == 200


def test_every_key_of_a_recipe_is_documented() -> None:
    table = TEXT[TEXT.index("## All keys") :]
    names = {field.name for kind in (Recipe, Augmentation) for field in fields(kind)}
    assert {name for name in names if f"`{name}`" not in table} == set()
