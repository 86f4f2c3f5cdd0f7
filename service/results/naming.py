"""Puts the name of a job's slide on files of a result, which is shared by jobs whose slides have other names.

Workers write them without a name, or, in older versions, with the name of the stored file.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from PIL import Image

from scanner.exports.legend import titled, under_title
from scanner.files.printable import printable
from scanner.files.run_report import report_as_json
from service.results.results import HOTSPOT_FILES

#: The title of a report stands in its head and in its body.
_TITLES = re.compile(r"<(title|h1)>(?:[^<]*: )?([^<:]*)</\1>")

Renamer = Callable[[bytes, str], bytes]


def name_file(path: Path, name: str) -> bytes:
    """The content of one of NAMED with the name of a slide in it."""
    return NAMED[path.name](path.read_bytes(), name)


@lru_cache(maxsize=1024)
def size_when_named(path: Path, name: str, _changed_ns: int) -> int:
    """Bytes of that content."""
    return len(name_file(path, name))


def _name_page(content: bytes, name: str) -> bytes:
    def title(match: re.Match[str]) -> str:
        return f"<{match[1]}>{html.escape(printable(name))}: {match[2]}</{match[1]}>"

    return _TITLES.sub(title, content.decode(), count=2).encode()


def _name_report(content: bytes, name: str) -> bytes:
    report = json.loads(content)
    report["slide"]["name"] = name
    return f"{report_as_json(report)}\n".encode()


def _name_picture(content: bytes, name: str) -> bytes:
    picture = under_title(Image.open(io.BytesIO(content)), titled(name, "mitotic figures"))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


#: Files with a name in them, and what puts it there.
NAMED: dict[str, Renamer] = {
    "report.html": _name_page,
    "run.json": _name_report,
    **dict.fromkeys(["overview.png", *HOTSPOT_FILES], _name_picture),
}
