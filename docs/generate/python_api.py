"""The reference of the Python API: which names it has; mkdocstrings writes what their docstrings say."""

from __future__ import annotations

from importlib import import_module

#: The packages whose `__all__` is the public API, with what each is for.
PACKAGES = {
    "scanner": "Scan a slide, make a classifier dense, open a slide.",
    "scanner.slides": "Read slides, and say what a file contains.",
    "scanner.dense": "Turn a patch classifier into a dense net.",
    "models": "Load, describe and save models.",
}
#: Public, beside those of `__all__`.
FURTHER = {"scanner.settings": ("ScanSettings",), "service.client": ("Client", "ServiceError", "ScanChoices")}
#: Documented once, where they are defined first in the order above.
HEAD = """# Python API

This page is generated from the docstrings. Every example on it runs as a test.

```python
from models import load_model
from scanner import densify, open_slide, scan
from service.client import Client
```
"""


def public_names() -> list[str]:
    """Dotted names of everything public, each object once."""
    found: dict[int, str] = {}
    for package in [*PACKAGES, *FURTHER]:
        module = import_module(package)
        for name in FURTHER.get(package) or module.__all__:
            found.setdefault(id(getattr(module, name)), f"{package}.{name}")
    return list(found.values())


def python_page() -> str:
    """The page, one section a package."""
    names = public_names()
    parts = [HEAD]
    for package in [*PACKAGES, *FURTHER]:
        said = PACKAGES.get(package, "")
        parts += [f"## {package}\n", f"{said}\n"]
        parts += [f"::: {name}\n" for name in names if name.rpartition(".")[0] == package]
    return "\n".join(parts)
