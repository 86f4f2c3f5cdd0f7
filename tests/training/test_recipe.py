from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from models.families import build_network
from models.sources import ZOO
from scanner.errors import SettingsError
from scanner.training.recipe import Augmentation, Recipe, read_recipe, recipe_from_toml

ROOT = Path(__file__).parents[2]

SMALLEST = 'name = "n"\nversion = "1"\narchitecture = "dannet"\nnetwork_stride = 4\narguments = { patch_size = 22 }\n'


def test_a_crop_holds_its_outputs():
    recipe = recipe_from_toml(SMALLEST + "outputs = 3\n")
    assert recipe.crop_size == 22 + 2 * 4


@pytest.mark.parametrize("line", ["stepz = 3", "[augmentation]\njepg = 1", "normalisation = 'magic'", "steps = ["])
def test_what_no_recipe_knows_is_refused(line):
    with pytest.raises(SettingsError, match="recipe"):
        recipe_from_toml(SMALLEST + line)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


def test_crops_without_an_output_in_the_middle_are_refused():
    with pytest.raises(SettingsError, match="outputs = 2 is even"):
        recipe_from_toml(SMALLEST + "outputs = 2\n")
    recipe_from_toml(SMALLEST + "outputs = 2\ntask = 'segmentation'\n")  # There every output has a class.


@pytest.mark.parametrize("path", sorted(ZOO.glob("*/recipe*.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_recipes_build_their_network(path):
    recipe = read_recipe(path)
    assert recipe.name in {path.parent.name, path.stem.removeprefix("recipe-")}  # A column has a name of its own.
    build_network(recipe.architecture, recipe.arguments)


@pytest.mark.parametrize("kind", [Recipe, Augmentation])
def test_the_reference_has_every_key(kind):
    page = (ROOT / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    assert [one.name for one in fields(kind) if f"`{one.name}`" not in page] == []
