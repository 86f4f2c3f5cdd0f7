"""Lets the Python reference show the `#:` comments above fields, as Sphinx does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Takes the `#:` lines above an attribute, or the comment behind it, for its docstring."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called for each attribute that griffe finds."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.filepath, Path):
            return
        lines = attr.filepath.read_text(encoding="utf-8").splitlines()
        if said := _above(lines, attr.lineno - 1) or _behind(lines[attr.lineno - 1]):
            attr.docstring = griffe.Docstring(said[0].upper() + said[1:], parent=attr)


def _above(lines: list[str], at: int) -> str:
    found = []
    while at > 0 and lines[at - 1].strip().startswith("#:"):
        at -= 1
        found.append(lines[at].strip().removeprefix("#:").strip())
    return " ".join(reversed(found))


def _behind(line: str) -> str:
    return line.partition("  # ")[2].strip()
