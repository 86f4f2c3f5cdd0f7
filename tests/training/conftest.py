from __future__ import annotations

from pathlib import Path

import pytest

from scanner.training.recipe import Augmentation, Recipe
from tests.training.data_folder import write_data_folder


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    return write_data_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def small_recipe() -> Recipe:
    """A training of seconds: 22 px patches, a hundred weights."""
    return Recipe(
        name="small",
        version="0",
        architecture="dannet",
        arguments={"stages": [[4, 3], [6, 3]], "patch_size": 22, "hidden": 8},
        network_stride=4,
        fields="fields",
        fields_mpp=0.25,
        figures="cutouts",
        held_out=("C",),
        batch_size=12,
        steps=8,
        mining=(0.5,),
        ignored_um=4.0,
        augmentation=Augmentation(jitter_px=3.0),
    )
