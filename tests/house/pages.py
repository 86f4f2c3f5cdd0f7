"""The pages of the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
#: Pages of what has been: its commands and options may be gone.
HISTORY = {ROOT / "CHANGELOG.md"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, languages: str = r"\w*") -> list[str]:
    """Blocks of code in the page, of the languages that the expression matches."""
    return re.findall(rf"^```(?:{languages})\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> Iterator[str]:
    """Lines of the page's blocks that call a program of ours or a usual one, continued lines joined."""
    text = "\n".join([*blocks(page), *re.findall(r"^ {4}(mitoscan .*)$", page.read_text(), re.MULTILINE)])
    for line in text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"^(?:\$ |[A-Z_]+=\S+ )", "", line.strip())
        if re.match(r"(?:mitoscan (?=[a-z-])|make |python3? -m |docker |pip |ray |srun |npm )", bare):
            yield bare


def mitoscan_calls(page: Path) -> Iterator[list[str]]:
    """Arguments of every call of mitoscan: whole lines of blocks, and code in the text, as far as it is written out."""
    for line in command_lines(page):
        if line.startswith("mitoscan "):
            yield shlex.split(line, comments=True)[1:]
    for code in re.findall(r"`mitoscan ([a-z][a-z-]*(?: [^`]*)?)`", " ".join(page.read_text().split())):
        yield shlex.split(code)
