"""The packages of scanner.slides are storeys: each imports only those below it, and none imports the root."""

from __future__ import annotations

import re
from pathlib import Path

import scanner.slides

#: From the ground up; the files of the root stand above all of them.
STOREYS = ("pixels", "metadata", "dicom", "files", "tiff", "zarr", "czi")
#: These are next to each other: none imports another.
READERS = {"tiff", "zarr", "czi"}
ROOT = Path(scanner.slides.__file__).parent


def imported_by(package: str) -> set[str]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / package).rglob("*.py"))
    return set(re.findall(r"^ *from scanner\.slides(?:\.(\w+))?", text, re.MULTILINE)) - {package}


def test_packages_import_those_below_them_alone() -> None:
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} == set(STOREYS)
    for index, package in enumerate(STOREYS):
        below = set(STOREYS[:index]) - (READERS if package in READERS else set())
        assert imported_by(package) <= below, package
