"""Small pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a pipe in a cell is escaped, a line break becomes a space."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def code(value: object) -> str:
    """`value` as code; nothing if there is none."""
    text = str(value)
    return f"`{text}`" if text else ""


def sentence(text: str) -> str:
    """`text` with a capital letter first and a full stop last."""
    text = text.strip()
    if not text:
        return ""
    first = text[0] if text.startswith("um ") else text[0].upper()  # The unit stays as it is.
    return first + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()
