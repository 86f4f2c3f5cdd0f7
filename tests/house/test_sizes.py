"""Files, functions and folders stay small: whoever comes anew finds the place in a minute, and reads it in another."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.house.test_architecture import EVERY_FILE, ROOT, SOURCES

MAX_FILES_AT_ROOT = 8
MAX_FILES_IN_FOLDER = 20
MAX_FILE_LINES = 250
MAX_STORY_LINES = 150
MAX_BODY_LINES = 40
#: Nine of ten function bodies of the product are no longer.
USUAL_BODY_LINES = 14


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that are kept under version control, by their kinds."""
    return [path for path in folder.iterdir() if path.is_file() and path.suffix != ".pyc" and path.name[0] != "."]


def test_folders_are_small() -> None:
    for layer in ("scanner", "service"):
        assert len(files_of(ROOT / layer)) <= MAX_FILES_AT_ROOT, layer
    folders = {path.parent for path in EVERY_FILE}
    full = {str(folder.relative_to(ROOT)): len(files_of(folder)) for folder in folders}
    assert {name: count for name, count in full.items() if count > MAX_FILES_IN_FOLDER} == {}


def test_the_story_of_a_scan_is_one_page() -> None:
    assert len((ROOT / "scanner" / "scanning.py").read_text(encoding="utf-8").splitlines()) <= MAX_STORY_LINES


def test_files_are_small() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in EVERY_FILE}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def bodies_of(path: Path) -> dict[str, int]:
    """Lines of the body of each function in a file, its docstring left out."""
    lines = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            name = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            lines[name] = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    return lines


def test_functions_are_small() -> None:
    lines = {name: count for path in EVERY_FILE for name, count in bodies_of(path).items()}
    assert {name: count for name, count in lines.items() if count > MAX_BODY_LINES} == {}
    product = sorted(count for path in SOURCES.values() for count in bodies_of(path).values())
    assert product[int(0.9 * len(product))] <= USUAL_BODY_LINES
