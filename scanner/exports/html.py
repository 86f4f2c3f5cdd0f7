"""Pages that need nothing but themselves: what the templates of this package are filled with."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from models.card import NOTICE
from scanner.files.atomic import write_text
from scanner.files.printable import printable
from scanner.geometry.windows import describe_hpf

if TYPE_CHECKING:
    from jinja2 import Environment

MM2 = "mm\N{SUPERSCRIPT TWO}"
#: What a browser shows of a picture; the files beside the page have all of it.
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Picture:
    """A picture that is part of its page."""

    #: What it shows, in words.
    text: str
    width: int
    #: The picture itself, as a URL.
    source: str


@dataclass(frozen=True)
class Table:
    """Rows of text under their head; `chosen` are the indices of rows that stand out."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    chosen: Sequence[int] = ()

    @property
    def is_number(self) -> list[bool]:
        """Whether a column has nothing but numbers: it is set flush right."""
        return [bool(self.rows) and all(_is_number(row[col]) for row in self.rows) for col in range(len(self.head))]


def write_html(path: Path, template: str, **values: Any) -> None:
    """Write a page; all values are text, and shown as such.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_text(path, environment().get_template(template).render(values))


@functools.cache
def environment() -> Environment:
    """The templates, and what all of them may use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # Here: pages are written at the end of a scan.

    found = Environment(
        loader=PackageLoader("scanner.exports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals.update(MM2=MM2, NOTICE=NOTICE)
    found.filters.update(printable=printable, hpf=hpf)
    return found


def picture(image: Image.Image, *, text: str, longest_px: int | None = None) -> Picture:
    """A picture as JPEG, reduced to `longest_px` if that is given."""
    shown = image.convert("RGB")
    if longest_px is not None:
        shown.thumbnail((longest_px, longest_px))
    buffer = io.BytesIO()
    shown.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(text, shown.width, f"data:image/jpeg;base64,{encoded}")


def hpf(area_mm2: float) -> str:
    """An area in high-power fields."""
    return describe_hpf(area_mm2).replace("mm2", MM2)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace(",", "").isdigit()
