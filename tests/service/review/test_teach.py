"""The evening of docs/how-to/review-and-teach.md with a small model, from the review to the comparison."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from models import load_model
from scanner.training.own_network import make_network
from scanner.training.recipe import recipe_from_toml
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server

RECIPE = """
name = "taught"
version = "1"
begin = "{begin}"
architecture = "dannet"
mpp = 0.25
normalisation = "{normalisation}"
held_out = ["case 2"]
steps = 4
batch_size = 8
mining = [0.5]

[arguments]
stages = [[4, 3], [4, 3]]
patch_size = 21
hidden = 8

[card]
stride = 4
threshold = 0.5
"""


def run(*command: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recipe_of_the_page_goes_with_the_model_that_it_begins_with() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "review-and-teach.md").read_text()
    recipe = recipe_from_toml(page.split("```toml\n")[1].split("```")[0])
    assert make_network(recipe) is not None
    card = load_model(recipe.begin).card
    assert (recipe.network_stride, recipe.mpp) == (card.stride, card.mpp)


@pytest.mark.slow
def test_what_was_reviewed_trains_and_evaluates_without_an_edit(
    server: Server, models_folder: Path, tmp_path: Path
) -> None:
    for number in range(3):
        body = png(make_field(90 + number, height=300, width=300))
        job = scanned(server, body, name=f"slide {number}", case=f"case {number}")
        inner = [one for one in job["detections"] if not one["border"]]
        assert len(inner) > 4
        for index, one in enumerate(inner[:4]):
            server.client.put(
                f"/jobs/{job['id']}/review/marks/{one['id']}", json={"verdict": ("accepted", "rejected")[index % 2]}
            ).raise_for_status()
    said = run("labels", "--service", server.client.base_url, "-o", tmp_path / "taught")
    assert "reviewed jobs at 0.25 um/px" in said
    sources = json.loads((tmp_path / "taught" / "sources.json").read_text())
    assert {"case 0", "case 1", "case 2"} <= {source["case"] for source in sources}
    card = tomllib.loads((models_folder / "tiny" / "card.toml").read_text())
    recipe = RECIPE.format(begin=models_folder / "tiny", normalisation=card["normalisation"]["kind"])
    (tmp_path / "recipe.toml").write_text(recipe)
    run("train", tmp_path / "recipe.toml", "--data", tmp_path / "taught", "-o", tmp_path / "new", "--device", "cpu")
    run("certify", tmp_path / "new", "-o", tmp_path / "certificate.json")
    common = ("--data", tmp_path / "taught", "--cases", "case 2", "--field-mpp", 0.25, "--device", "cpu")
    for name, model in (("before", models_folder / "tiny"), ("after", tmp_path / "new")):
        run("evaluate", model, *common, "--no-folds", "-o", tmp_path / name)
        evaluation = json.loads((tmp_path / name / "evaluation.json").read_text())
        assert evaluation["pooled"]["figures"] == 2
