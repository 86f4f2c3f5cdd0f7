"""Slides that several tests of results look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories.slides import damage_tile, texture, write_pyramid


@pytest.fixture(scope="module")
def holed_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of 512 x 512 px with 2 of its TIFF tiles (rows 128 to 256, columns 128 to 384) spoilt."""
    path = tmp_path_factory.mktemp("holed") / "holed.tif"
    write_pyramid(path, texture(512, 512), levels=1, style="generic", compression="jpeg")
    for tile in (5, 6):
        damage_tile(path, tile)
    return path
