"""Pages that need nothing but themselves: HTML with its style and pictures inside, no script, no date."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from models.card import NOTICE
from scanner.files.atomic import write_text
from scanner.files.printable import printable

STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #222; background: #fff;
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ddd; padding-bottom: .25rem; }
.notice { background: #fff4d6; border: 1px solid #e5c76b; padding: .5rem .75rem; margin: 1rem 0; }
.figure { font-size: 1.25rem; margin: 1rem 0; }
.figure b { font-size: 1.75rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #eee; vertical-align: top;
  overflow-wrap: anywhere; }
th { font-weight: 600; color: #555; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.chosen td { font-weight: 600; background: #f1f6f2; }
td.failed { color: #a01010; }
img { max-width: 100%; height: auto; border: 1px solid #ddd; }
figure { margin: 0; }
td img { display: block; max-width: 10rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
"""

MM2 = "mm\N{SUPERSCRIPT TWO}"
#: What a browser shows of a picture; the files beside the page have all of it.
JPEG_QUALITY = 88


def write_html(path: Path, title: str, body: Iterable[str]) -> None:
    """Write a page; `body` is HTML, `title` is text.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    content, title = "\n".join(body), printable(title)
    write_text(
        path,
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="notice">{NOTICE}</p>\n{content}\n</body>\n</html>\n',
    )


def table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = (), chosen: Iterable[int] = ()) -> str:
    """A table of text; columns of numbers are set flush right; `chosen` are the rows that stand out."""
    rows, marked = list(rows), set(chosen)
    is_number = [bool(rows) and all(_is_number(row[col]) for row in rows) for col in range(len(head))]
    lines = [_row(head, is_number, "th")] if head else []
    for index, row in enumerate(rows):
        lines.append(_row(row, is_number, "td", ' class="chosen"' if index in marked else ""))
    return f"<table>\n{''.join(lines)}</table>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A table of names and what they are."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n" for name, value in pairs)
    return f"<table>\n{rows}</table>"


def picture(image: Image.Image, *, text: str, longest_px: int | None = None) -> str:
    """A picture as an element that holds it, as JPEG, reduced to `longest_px` if that is given."""
    shown = image.convert("RGB")
    if longest_px is not None:
        shown.thumbnail((longest_px, longest_px))
    buffer = io.BytesIO()
    shown.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escape(text)}" width="{shown.width}" src="data:image/jpeg;base64,{encoded}">'


def _row(cells: Sequence[str], is_number: Sequence[bool], tag: str, kind: str = "") -> str:
    numbers = [*is_number, *[False] * (len(cells) - len(is_number))]
    shown = (
        f"<{tag}{' class=' + chr(34) + 'number' + chr(34) if flush else ''}>{escape(cell)}</{tag}>"
        for cell, flush in zip(cells, numbers, strict=True)
    )
    return f"<tr{kind}>{''.join(shown)}</tr>\n"


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace(",", "").isdigit()
