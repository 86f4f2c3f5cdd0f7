from __future__ import annotations

import pytest

from models.families import build_network
from models.sources import ZOO
from scanner.errors import SettingsError
from scanner.training.recipe import read_recipe, recipe_from_toml

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


@pytest.mark.parametrize("path", sorted(ZOO.glob("*/recipe.toml")), ids=lambda path: path.parent.name)
def test_shipped_recipes_build_their_network(path):
    recipe = read_recipe(path)
    assert recipe.name == path.parent.name
    build_network(recipe.architecture, recipe.arguments)
