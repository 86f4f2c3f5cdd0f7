from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.data_folder import write_data_folder


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    return write_data_folder(tmp_path_factory.mktemp("data"))
