"""What is shipped is whole, what is pinned is pinned, and what the checkout promises to do it does."""

from __future__ import annotations

import csv
import os
import platform
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

from models import DEFAULT_MODEL
from scanner.dense.native.build import find_compiler, targets_of
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
    left_out = {name for name in listed.stdout.split() if name.startswith("models/zoo/") and "/folds/" in name}
    assert left_out, "weights for the project's own evaluation"
    assert set(listed.stdout.split()) - names == left_out
    assert {f"{package}/py.typed" for package in packages} <= names


def test_the_default_model_is_shipped(wheel: Path) -> None:
    files = {f"models/zoo/{DEFAULT_MODEL}/{name}" for name in ("card.toml", "model.safetensors")}
    with zipfile.ZipFile(wheel) as archive:
        assert files <= set(archive.namelist())


def kernels_of(machine: str) -> set[str]:
    return {f"scanner/dense/native/prebuilt/{target.name}.so" for target in targets_of(machine)}


needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")


@needs_compiler
def test_the_wheel_holds_a_kernel_for_each_kind_of_processor_and_is_named_after_its_platform(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert kernels_of(platform.machine())
    assert kernels_of(platform.machine()) <= names
    assert wheel.stem.endswith(f"-py3-none-linux_{platform.machine()}")


@needs_compiler
@pytest.mark.slow
def test_without_a_compiler_a_prebuilt_kernel_finds_what_a_compiled_one_finds(
    wheel: Path, tmp_path: Path, example_slide: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    shipped = bare | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-m", "service.cli"]
    found = subprocess.run([*command, "doctor"], env=shipped, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "prebuilt" in found.stdout
    scan = [*command, "scan", str(example_slide), "--stride", "16", "--threshold", "0.05", "--out"]
    subprocess.run([*scan, "prebuilt"], env=shipped, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*scan, tmp_path / "compiled"], cwd=ROOT, check=True, capture_output=True)
    tables = [
        (tmp_path / name / example_slide.stem / "detections.csv").read_text() for name in ("prebuilt", "compiled")
    ]
    places = [[(row["x"], row["y"]) for row in csv.DictReader(table.splitlines())] for table in tables]
    assert len(places[0]) > 10
    assert places[0] == places[1]


def test_the_programs_that_tests_need_are_installed_by_ci() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    installed = set(
        re.findall(r"([\w.+-]+):[\w.+-]+", re.search(r"for pair in (.*?); do", script.read_text(), re.S)[1])
    )
    needed = {
        program
        for path in (ROOT / "tests").rglob("*.py")
        for program in re.findall(r"require_system\(\"([\w.+-]+)\"", path.read_text())
    }
    assert needed <= installed


@pytest.mark.parametrize(
    "target", ["demo", "serve", "test", "test-machines", "docs", "check", "bench", "fmt", "train", "image-test", "sbom"]
)
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
