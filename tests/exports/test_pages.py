"""Pages for people: they need no other file, run no script, and say what the report says."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from models.card import NOTICE, Measurement, ModelCard
from scanner.batch.outcomes import Outcome, Status
from scanner.exports.batch_page import write_batch_page
from scanner.exports.files import write_results
from scanner.exports.html import Table, environment
from scanner.exports.page import write_page
from scanner.files.run_report import write_report
from scanner.inference.prepared_slide import PreparedSlide
from scanner.result import ScanResult

#: Elements that have no end.
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Text, pictures and links of a page; refuses what is not closed, and what a page loads from elsewhere."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.links, self.pictures = "", [], 0
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "iframe"}
        values = dict(attrs)
        if tag == "img":
            assert (values["src"] or "").startswith("data:image/jpeg;base64,")
            assert values["alt"]
            self.pictures += 1
        if "href" in values:
            self.links.append(values["href"])
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_what_the_report_says(tmp_path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    write_results(tmp_path, result, prepared)
    page = Page(tmp_path / "report.html")
    assert page.pictures == 1 + len(result.hotspots)
    report = result.report
    flat = " ".join(page.text.split())
    assert f"{report['count']} in {report['area_mm2']['counted']:.2f} mm² of tissue" in flat
    assert NOTICE in flat
    assert "HPF of 0.237 mm²" in flat
    for row in report["thresholds"]:
        assert f"{row['threshold']:.3f}{row['count']}{row['per_mm2']:.1f}" in page.text
    assert "because it cannot be read" in flat


def test_high_power_fields_always_have_their_area(tmp_path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    write_results(tmp_path, result, prepared)
    text = Page(tmp_path / "report.html").text
    assert len(re.findall(r"HPF", text)) - len(re.findall(r"in HPF", text)) == len(
        re.findall(r"HPF of 0.237 mm²", text)
    )


def test_names_are_text_and_not_markup(tmp_path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    write_results(tmp_path, result, prepared)
    evil = "<script>alert(1)</script>&.svs"
    slide = result.report["slide"] | {"name": evil}
    card = replace(
        prepared.model.card,
        limits="</td><script>",
        measured=(Measurement("a<b", "r", 0.5, 0.5, 0.5, 0.5, (0.25, 0.75)),),
    )
    write_page(
        tmp_path / "evil.html",
        replace(result, report=result.report | {"slide": slide}),
        card,
        overview=OVERVIEW,
        hotspots={},
    )
    page = Page(tmp_path / "evil.html")
    assert evil in page.text
    assert "</td><script>" in page.text
    assert "F1 0.500 (0.250 to 0.750, precision" in page.text


def test_nothing_found_is_a_page_as_well(tmp_path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    write_results(tmp_path, result, prepared)
    nothing = replace(result, hotspots=(), report=result.report | {"hotspots": [], "count": 0})
    write_page(tmp_path / "report.html", nothing, ModelCard(**CARD), overview=OVERVIEW, hotspots={})
    assert "Nothing was counted" in Page(tmp_path / "report.html").text


OVERVIEW = Image.new("RGB", (30, 20))
CARD = {"name": "a", "version": "1", "architecture": "none", "arguments": {}, "patch_size": 9, "mpp": 0.25}


def markup_of(table: Table) -> str:
    return str(environment().get_template("parts.html").module.table(table))


def test_columns_of_numbers_are_flush_right_and_others_not() -> None:
    shown = markup_of(Table(["x", "y"], [["a", "1"], ["b", "12.5"]], chosen=[1]))
    assert shown.count('class="number"') == 3
    assert shown.count('<tr class="chosen"><td>b</td><td class="number">12.5</td></tr>') == 1


def test_cells_are_text() -> None:
    assert "<td>&lt;b&gt;</td>" in markup_of(Table(["x"], [["<b>"]]))


@pytest.mark.parametrize("has_files", [True, False])
def test_a_batch_is_a_table_of_its_slides(
    tmp_path: Path, result: ScanResult, prepared: PreparedSlide, has_files: bool
) -> None:
    out = tmp_path / "out & about"
    folder = out / "case 1" / "a#1"
    folder.mkdir(parents=True)
    if has_files:
        write_results(folder, result, prepared)
        write_report(folder / "run.json", result.report)
    slides = [
        asdict(Outcome("x/a#1.svs", Status.OK, "", "case 1/a#1", 2, 0.5, 0.125, 1.5)),
        asdict(Outcome("x/<b>.svs", Status.FAILED, "<damaged>", "b")),
    ]
    write_batch_page(out, {"total": 2, "ok": 1, "failed": 1, "skipped": 0, "slides": slides})
    page = Page(out / "batch.html")
    assert page.links == ["case%201/a%231/report.html"]
    assert page.pictures == has_files
    for text in ("out & about", "<b>.svs", "<damaged>", "a#1.svs", "1 failed", "0.125"):
        assert text in page.text
