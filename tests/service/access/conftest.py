"""The fixture of the tests of who sees what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.access.groups import Place, open_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("groups"), models_folder) as opened:
        yield opened
