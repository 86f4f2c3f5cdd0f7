"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled fields beside the project, which is never part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the labelled data in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def example_slide() -> Path:
    """An Aperio slide: JPEG, 2220 x 2967 px, one level, 0.499 um/px."""
    return ROOT / "examples" / "CMU-1-Small-Region.svs"
