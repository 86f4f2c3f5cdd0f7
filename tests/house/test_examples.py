"""Examples run: those in public docstrings, and the Python in the pages."""

from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from docs.generate.python_api import public_names
from tests.conftest import ROOT
from tests.house.pages import blocks

#: Runs where a server runs: tests/service/api/test_recipes.py.
NEEDS_A_SERVER = "service.client.Client"


def thing(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def documented() -> list[str]:
    """Public functions and classes; constants have no docstring."""
    return [name for name in public_names() if inspect.isclass(thing(name)) or inspect.isfunction(thing(name))]


@pytest.mark.parametrize("name", documented())
def test_everything_public_has_an_example_that_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = thing(name).__doc__
    found = doctest.DocTestParser().get_doctest(said, {}, name, None, None)
    assert "Examples\n" in said
    assert found.examples
    if name == NEEDS_A_SERVER:
        return
    monkeypatch.chdir(ROOT)
    told: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=told.append)
    assert result.failed == 0, "".join(told)


def run_python(page: Path, folder: Path) -> str:
    """What all Python of the page prints, run as one program."""
    script = "\n".join(blocks(page, "python"))
    assert script
    for name in ("examples", "models"):
        (folder / name).symlink_to(ROOT / name)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/dense.md"])
def test_python_of_the_page_runs(page: str, tmp_path: Path) -> None:
    run_python(ROOT / page, tmp_path)


def test_python_of_the_page_on_own_networks_makes_a_model(tmp_path: Path) -> None:
    assert "[1, 2, 69, 89]" in run_python(ROOT / "docs" / "how-to" / "own-network.md", tmp_path)
    assert {path.name for path in (tmp_path / "small").iterdir()} == {"card.toml", "model.pt2"}
