"""batch.html: the slides of a batch with their pictures, for people; batch.json has the same for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from scanner.exports.html import MM2, Picture, picture, write_html
from scanner.files.printable import printable
from scanner.files.result_names import OVERVIEW_NAME, PAGE_NAME, REPORT_NAME

BATCH_PAGE_NAME = "batch.html"
#: Longest side of a slide's picture in the table.
THUMBNAIL_PX = 320
NUMBERS = ("count", f"tissue {MM2}", f"unreadable {MM2}", f"per {MM2}", "hotspot", "seconds")


def write_batch_page(out: Path, content: dict[str, Any]) -> None:
    """Write the page of a batch into `out`.

    Parameters
    ----------
    out : Path
        Folder of the batch; the pages and pictures of its slides lie below it.
    content : dict
        Of batch.json, paths as they are.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_html(
        out / BATCH_PAGE_NAME,
        "batch.html",
        title=f"{os.path.basename(os.path.abspath(out))}: scanned slides",
        total=content["total"],
        statuses=", ".join(f"{content.get(status, 0)} {status}" for status in ("ok", "skipped", "failed")),
        numbers=NUMBERS,
        rows=(_row(out, slide) for slide in content["slides"]),
    )


@dataclass(frozen=True)
class _Row:
    """A slide: with a link to its page, or the reason why it has none."""

    path: str
    name: str
    status: str
    reason: str = ""
    link: str = ""
    #: Why its numbers may be wrong.
    warning: str = ""
    picture: Picture | None = None
    cells: Sequence[str] = ()


def _row(out: Path, slide: dict[str, Any]) -> _Row:
    row = _Row(printable(slide["slide"]), printable(_name(slide)), slide["status"])
    if slide["status"] == "failed" or not slide["folder"]:
        return replace(row, reason=printable(slide["reason"]))
    folder, link = out / slide["folder"], quote(os.fsencode(Path(slide["folder"], PAGE_NAME)))
    return replace(
        row,
        link=link,
        warning=slide.get("domain_warning", ""),
        picture=_thumbnail(folder),
        cells=tuple(_numbers(folder, slide)),
    )


def _name(slide: dict[str, Any]) -> str:
    image = slide.get("image")
    return Path(slide["slide"]).name + ("" if image is None else f", image {image}")


def _numbers(folder: Path, slide: dict[str, Any]) -> Iterator[str]:
    report, counts = _report(folder), not slide.get("class_mm2")  # A segmentation counts nothing.
    yield str(slide["count"]) if counts else ""
    yield f"{slide['tissue_mm2']:.2f}"
    yield f"{slide['unreadable_mm2']:.3f}" if slide["unreadable_mm2"] else "0"
    yield f"{report.get('count_per_mm2', 0.0):.1f}" if counts else ""
    spots = report.get("hotspots") or []
    yield f"{spots[0]['count']} in {spots[0]['area_mm2']:.2f} {MM2}" if spots else "none" if counts else ""
    yield "" if slide["seconds"] is None else f"{slide['seconds']:.0f}"


def _report(folder: Path) -> dict[str, Any]:
    """The slide's run.json; empty where it has gone since."""
    try:
        report: dict[str, Any] = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report


def _thumbnail(folder: Path) -> Picture | None:
    try:
        with Image.open(folder / OVERVIEW_NAME) as overview:
            return picture(overview, text="overview", longest_px=THUMBNAIL_PX)
    except OSError:
        return None
