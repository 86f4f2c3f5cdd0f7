"""What is shipped is whole, what is pinned is pinned, and what the checkout promises to do it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def declared() -> Iterator[Requirement]:
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        yield from map(Requirement, group)


def test_every_dependency_has_a_floor_and_an_exact_version_above_it() -> None:
    pinned = pins()
    for requirement in declared():
        assert [specifier.operator for specifier in requirement.specifier] == [">="], requirement
        pin = pinned[canonicalize_name(requirement.name)]
        assert [specifier.operator for specifier in pin.specifier] == ["=="]
        assert requirement.specifier.contains(next(iter(pin.specifier)).version), requirement


def test_torch_is_pinned_where_the_tests_were_made() -> None:
    assert str(pins()["torch"].specifier) == "==2.13.0"


def test_everything_imported_is_declared_and_everything_declared_imported() -> None:
    done = subprocess.run([sys.executable, "-m", "deptry", "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_that_is_needed_to_run_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packages = ("scanner", "service", "models")
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(packages)
    listed = subprocess.run(["git", "ls-files", *packages], cwd=ROOT, check=True, capture_output=True, text=True)
    assert set(listed.stdout.split()) - names == set()
    assert {f"{package}/py.typed" for package in packages} <= names


def test_the_default_model_is_shipped(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert {"models/zoo/mitosis-1/card.toml", "models/zoo/mitosis-1/model.safetensors"} <= set(archive.namelist())


def test_the_programs_that_tests_need_are_installed_by_ci() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    installed = set(re.findall(r"([\w.-]+):[\w.-]+", re.search(r"for pair in (.*); do", script.read_text())[1]))
    needed = {
        program
        for path in (ROOT / "tests").rglob("*.py")
        for program in re.findall(r"require_system\(\"([\w.-]+)\"", path.read_text())
    }
    assert needed <= installed


@pytest.mark.parametrize("target", ["demo", "serve", "test", "check", "bench", "fmt", "train", "image-test"])
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_runs_commands_that_there_are() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {name: service["command"][0] for name, service in services.items() if "command" in service} == {
        "api": "serve",
        "worker": "worker",
    }
