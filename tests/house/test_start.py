"""A command that starts at once: what help, lists and mistakes of use load. Modules are counted, not seconds."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from scanner.cli.options import loading
from service.cli import all_commands
from tests.conftest import ROOT
from tests.factories.slides import texture

#: Each takes between a tenth of a second and more than a second to import.
HEAVY = {"torch", "numpy", "scipy", "skimage", "matplotlib", "zarr", "tifffile", "openslide"}
SERVICE = {"fastapi", "starlette", "uvicorn", "dbos", "sqlalchemy", "httpx", "pydantic_settings"}
UNUSED_BY_A_SCAN = {"scipy.spatial", "skimage", "matplotlib", "pandas", "timm", "torchvision", "onnx"}
COMMANDS = sorted(typer.main.get_command(all_commands()).commands)  # type: ignore[attr-defined]
RUN = """
import atexit, sys
from service.cli import main
sys.argv = ["mitoscan", *sys.argv[1:]]
atexit.register(lambda: print(*{name for name in sys.modules if name.count(".") < 2}, file=sys.stderr))
main()
"""


def run(*arguments: str, folder: Path = ROOT) -> tuple[int, str, set[str]]:
    """Exit code, all that a command said, and the packages, and those in them, that it has loaded in the end."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{RUN}", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    said, _, loaded = done.stderr.rstrip("\n").rpartition("\n")
    return done.returncode, done.stdout + said, set(loaded.split())


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda names: " ".join(names) or "all")
def test_help_loads_no_library_that_only_a_scan_or_the_service_needs(arguments: list[str]) -> None:
    code, said, loaded = run(*arguments, "--help")
    assert code == 0
    assert "Usage" in said
    assert loaded & (HEAVY | SERVICE) == set()


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"]], ids=" ".join)
def test_models_are_listed_from_their_cards_alone(arguments: list[str]) -> None:
    code, said, loaded = run(*arguments)
    assert code == 0
    assert "mitosis-1" in said
    assert loaded & (HEAVY | SERVICE) == set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nosuch", "No such command"),
        ("scan --nosuch", "No such option"),
        ("scan a.svs", "Missing option"),
        ("scan -o out", "name a slide"),
        ("scan a.svs -o out", "a.svs: No such file"),
        ("scan a.csv -o out", "a.csv: No such file"),
        ("scan folder -o out", "no slides in"),
        ("scan slide.svs -o out --model nosuch", "'nosuch' is neither a folder nor shipped"),
        ("scan slide.svs -o out --stride x", "is neither a whole number"),
        ("scan slide.svs -o out --engine x", "engine = 'x' is impossible"),
        ("scan slide.svs -o out --mask gone.png", "there is no such mask"),
        ("certify nosuch", "'nosuch' is neither a folder nor shipped"),
        ("committee nosuch -o out", "'nosuch' is neither a folder nor shipped"),
        ("evaluate nosuch --data . -o out", "'nosuch' is neither a folder nor shipped"),
        ("evaluate --data gone -o out", "gone is not a folder"),
        ("train gone.toml --data . -o out", "gone.toml cannot be read"),
        ("import gone.onnx -o out --mpp 0.25 --patch-size 64", "'gone.onnx' cannot be imported"),
        ("bench gone.svs", "gone.svs: No such file"),
        ("info", "Missing argument"),
        ("grand-challenge --input gone", "needs one image"),
        ("serve --port x", "--port"),
        ("worker --nosuch", "No such option"),
    ],
)
def test_a_mistake_of_use_is_told_before_torch_is_loaded(tmp_path: Path, arguments: str, words: str) -> None:
    (tmp_path / "slide.svs").touch()
    (tmp_path / "folder").mkdir()
    code, said, loaded = run(*arguments.split(), folder=tmp_path)
    assert code in (1, 2)
    assert words in said
    assert loaded & (HEAVY | SERVICE) == set()


def test_what_is_in_a_file_is_said_without_torch(tmp_path: Path) -> None:
    Image.fromarray(texture(150, 140)).save(tmp_path / "field.png")
    code, said, loaded = run("info", "field.png", folder=tmp_path)
    assert code == 0, said
    assert "field.png: PNG" in said
    assert loaded & (SERVICE | UNUSED_BY_A_SCAN | {"torch"}) == set()


def test_a_scan_loads_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    Image.fromarray(texture(150, 140)).save(tmp_path / "field.png")
    code, said, loaded = run("scan", "field.png", "-o", "out", "--stride", "8", folder=tmp_path)
    assert code == 0, said
    assert "torch" in loaded
    assert loaded & (SERVICE | UNUSED_BY_A_SCAN) == set()


def test_what_is_loaded_is_never_looked_through_for_garbage() -> None:
    before, was_enabled = gc.get_freeze_count(), gc.isenabled()
    try:
        with loading():
            assert not gc.isenabled()
            made = [[] for _ in range(100)]
        assert gc.isenabled() == was_enabled
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("module", ["models", "scanner", "scanner.cli.app", "service", "service.cli", "service.client"])
def test_packages_import_without_torch(module: str) -> None:
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


def test_a_batch_of_which_no_slide_is_there_ends_as_any_batch(tmp_path: Path) -> None:
    code, said, loaded = run("scan", "a.svs", "b.svs", "-o", "out", folder=tmp_path)
    assert code == 1
    assert "2 of 2 slides failed" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"batch.json", "batch.html"}
    assert '"failed": 2' in (tmp_path / "out" / "batch.json").read_text()
    assert "torch" not in loaded
