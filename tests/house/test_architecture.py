"""How the code is laid out: imports only go down, and in no circle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Each may import itself and what stands before it.
LAYERS = ("models", "scanner", "service")
#: Packages from the ground up: each imports only what stands before it. A file at the root of a layer is a storey of
#: its own; the package `models` may be imported by all of them.
STOREYS = (
    "scanner.errors",
    "scanner.stage_clock",
    "scanner.files",
    "scanner.geometry",
    "scanner.dense.network",
    "scanner.dense.conversion",
    "scanner.dense.native",
    "scanner.dense.gpu",
    "scanner.dense.zones",
    "scanner.dense",
    "scanner.slides.dicom",
    "scanner.slides.pixels",
    "scanner.slides.metadata",
    "scanner.slides.files",
    "scanner.slides.tiff",
    "scanner.slides.zarr",
    "scanner.slides.czi",
    "scanner.slides",
    "scanner.settings",
    "scanner.survey",
    "scanner.maps",
    "scanner.devices",
    "scanner.inference",
    "scanner.detections",
    "scanner.result",
    "scanner.exports",
    "scanner.scanning",
    "scanner",
    "scanner.batch",
    "scanner.labels",
    "scanner.evaluation",
    "scanner.cluster",
    "scanner.training",
    "scanner.cli",
    "service.proxies",
    "service.settings",
    "service.problems",
    "service.telemetry",
    "service.access",
    "service.slides_in",
    "service.results",
    "service.jobs",
    "service.review",
    "service.sharing",
    "service.worker",
    "service.api.contract",
    "service.api.running",
    "service.api.routes",
    "service.api",
    "service.client",
    "service.supervisor",
    "service.cli",
    "service.__main__",
    "service",
)
#: Names that say nothing of the stage that a file serves.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools", "manager", "core"}
#: These run on a GPU host that has torch and numpy, and nothing else.
BARE = (
    "models",
    "scanner.dense",
    "scanner.maps.peaks",
    "scanner.maps.smoothing",
    "scanner.maps.peaks_on_gpu",
    "scanner.inference.scorer",
    "benchmarks.gpu.__main__",
    "benchmarks.dense.run",
    "benchmarks.dense.report",
)

SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for layer in LAYERS
    for path in sorted((ROOT / layer).rglob("*.py"))
}
EVERY_FILE = sorted([*SOURCES.values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def imported(module: str, *, at_import: bool = False) -> Iterator[str]:
    """Modules of this project that `module` imports; `at_import` leaves out what only functions or types import."""
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    for node in _outside_functions(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            source = node.module or ""
            # What comes from a package is a module of it, or what its __init__ says.
            names = [
                f"{source}.{alias.name}" if f"{source}.{alias.name}" in SOURCES else source for alias in node.names
            ]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in LAYERS)


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _outside_functions(node)


def test_imports_only_go_down() -> None:
    upwards = [
        f"{module} imports {name}"
        for module in SOURCES
        for name in imported(module)
        if name.split(".")[0] not in LAYERS[: LAYERS.index(module.split(".")[0]) + 1]
    ]
    assert upwards == []


def storey_of(module: str) -> str:
    """The package that a module belongs to, or the module itself if it lies at the root of a layer."""
    if SOURCES[module].name == "__init__.py":
        return module
    package = module.rpartition(".")[0]
    return module if package in LAYERS else package


def test_packages_import_from_storeys_below_them_only() -> None:
    upwards = [
        f"{module} imports {name}"
        for module in SOURCES
        if module.split(".")[0] != "models"
        for name in imported(module)
        if name.split(".")[0] != "models" and storey_of(name) != storey_of(module)
        if STOREYS.index(storey_of(name)) > STOREYS.index(storey_of(module))
    ]
    assert upwards == []


def test_no_package_imports_one_that_imports_it() -> None:
    graph: dict[str, set[str]] = {storey_of(module): set() for module in SOURCES}
    for module in SOURCES:
        graph[storey_of(module)] |= {storey_of(name) for name in imported(module)} - {storey_of(module)}
    for package in graph:  # A package's own __init__ re-exports what lies below it.
        if SOURCES[package].name == "__init__.py" and package.split(".")[0] == "models":
            graph[package] = {name for name in graph[package] if not name.startswith(f"{package}.")}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports_make_no_circle() -> None:
    # Types and functions count: code that needs a circle, however late, is one thing in two files.
    # A package's own __init__ is left out as a source: it re-exports what lies below it.
    packages = {module for module, path in SOURCES.items() if path.name == "__init__.py"}
    graph = {module: {name for name in imported(module) if name != module} for module in SOURCES}
    for package in packages:
        graph[package] = {name for name in graph[package] if not name.startswith(f"{package}.")}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_modules_do_not_import_their_own_package() -> None:
    # Else the circle test above, which leaves re-exports out, would overlook that circle.
    circles = [
        module
        for module, path in SOURCES.items()
        if path.name != "__init__.py" and module.rpartition(".")[0] in set(imported(module, at_import=True))
    ]
    assert circles == []


def test_the_tours_name_files_that_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    known = [str(path.relative_to(ROOT)) for path in EVERY_FILE]
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    assert [name for name in sorted(named) if not any(f"/{path}".endswith(f"/{name}") for path in known)] == []


def test_names_of_files_say_what_they_are_for() -> None:
    assert [str(path.relative_to(ROOT)) for path in EVERY_FILE if path.stem in EMPTY_NAMES] == []


@pytest.mark.parametrize("module", BARE)
def test_bare_modules_import_with_torch_and_numpy_alone(module: str) -> None:
    allowed = {"torch", "numpy", "benchmarks", *LAYERS}
    script = f"""
import sys, torch, numpy  # and whatever these bring along
class OnlyThese:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {allowed!r}:
            raise ImportError(f"{{name}} is not there on a bare machine")
before = set(sys.modules)
sys.meta_path.insert(0, OnlyThese())
import {module}
late = {{name.partition(".")[0] for name in set(sys.modules) - before}}
assert late <= set(sys.stdlib_module_names) | {allowed!r}, late
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
