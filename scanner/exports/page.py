"""report.html: a scan for people, in one file: count, hotspots, thresholds, areas, model, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from models.card import Measurement, ModelCard
from scanner.exports.html import MM2, facts, picture, table, write_html
from scanner.geometry.windows import SMALL_MM2, describe_hpf
from scanner.result import ScanResult

UM2 = "um\N{SUPERSCRIPT TWO}"


def write_page(
    path: Path, result: ScanResult, card: ModelCard, *, overview: Image.Image, hotspots: Mapping[str, Image.Image]
) -> None:
    """Write the page of a slide.

    Parameters
    ----------
    path : Path
        Usually `report.html`.
    result : ScanResult
        With its report, but for the times: a second scan gives the same page.
    card : ModelCard
        Of the model that scanned.
    overview : Image
    hotspots : mapping of str to Image
        By their names. All pictures become part of the page.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    report = result.report
    if "classes" in report:
        subject, body = "classes", [*_classes(report), picture(overview, text="overview")]
    else:
        subject, body = "mitotic figures", [*_count(report), picture(overview, text="overview")]
        body += [*_hotspots(report, hotspots), *_thresholds(report)]
    body += [*_areas(report), *_slide(report), *_model(card), *_settings(report)]
    write_html(path, f"{report['slide']['name']}: {subject}", body)


def _classes(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Classes</h2>"
    rows = [[row["name"], f"{row['share']:.1%}", _area(row["area_mm2"])] for row in report["classes"]]
    yield table(rows, head=["class", "share", "area"])


def _count(report: dict[str, Any]) -> Iterator[str]:
    counted_mm2 = report["area_mm2"]["counted"]
    yield (
        f'<p class="figure"><b>{report["count"]}</b> in {counted_mm2:.2f} {MM2} of tissue: '
        f"<b>{report['count_per_mm2']:.1f}</b> per {MM2}</p>"
    )
    spots = report["hotspots"]
    if spots:
        first = spots[0]
        yield (
            f"<p>Hotspot: <b>{first['count']}</b> in {first['area_mm2']:.2f} {MM2} "
            f"({_hpf(first['area_mm2'])}), {first['tissue_mm2']:.2f} {MM2} of it tissue.</p>"
        )
    if on_border := report["counts"]["on_border"]:
        yield f"<p>Not counted: {on_border} on the slide's very border, nor the tissue there.</p>"
    if report["area_mm2"]["unreadable"] > 0:
        yield (
            f"<p>Not scanned, because it cannot be read: {report['area_mm2']['unreadable']:.3f} {MM2} of tissue. "
            "It is in no area above.</p>"
        )
    if report["area_mm2"].get("ink", 0.0) > 0:
        yield f"<p>Left out as pen marks, ink or dirt: {report['area_mm2']['ink']:.3f} {MM2}.</p>"


def _hotspots(report: dict[str, Any], pictures: Mapping[str, Image.Image]) -> Iterator[str]:
    yield "<h2>Hotspots</h2>"
    if not report["hotspots"]:
        yield "<p>Nothing was counted, so there is none.</p>"
        return
    window = report["hotspot_window"]
    yield f"<p>Window: {window['area_mm2']:.2f} {MM2} ({_hpf(window['area_mm2'])}), {_shape(window)}. None overlap.</p>"
    head = ["rank", "count", f"area {MM2}", "in HPF", f"tissue {MM2}", f"per {MM2}", f"per {MM2} of tissue", "x, y px"]
    rows = [
        [
            str(rank),
            str(spot["count"]),
            f"{spot['area_mm2']:.2f}",
            _hpf(spot["area_mm2"]),
            f"{spot['tissue_mm2']:.2f}",
            f"{spot['per_mm2']:.1f}",
            f"{spot['per_tissue_mm2']:.1f}",
            f"{spot['x']}, {spot['y']}",
        ]
        for rank, spot in enumerate(report["hotspots"], start=1)
    ]
    yield table(rows, head=head)
    shown = (picture(image, text=name) for name, image in pictures.items())
    yield f'<div class="pictures">{"".join(shown)}</div>'


def _shape(window: dict[str, Any]) -> str:
    if window["shape"] == "circle":
        return "a circle"
    return "a square" if window["aspect"] == 1 else f"a box {window['aspect']:.2f} times as wide as high"


def _thresholds(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Count by threshold</h2>"
    rows = [[f"{row['threshold']:.3f}", str(row["count"]), f"{row['per_mm2']:.1f}"] for row in report["thresholds"]]
    in_force = report["settings"]["threshold"]
    chosen = [index for index, row in enumerate(report["thresholds"]) if row["threshold"] == in_force]
    yield table(rows, head=["threshold", "count", f"per {MM2}"], chosen=chosen)


def _areas(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Areas</h2>"
    names = {
        "slide": "slide",
        "scanned": "scanned (tissue and a rim)",
        "tissue": "tissue",
        "counted": "tissue off the slide's very border, which the count refers to",
        "unreadable": "tissue that could not be read",
        "ink": "pen marks, ink and dark dirt",
    }
    yield facts((text, _area(report["area_mm2"][name])) for name, text in names.items() if name in report["area_mm2"])


def _slide(report: dict[str, Any]) -> Iterator[str]:
    slide, mask = report["slide"], report["settings"]["mask"]
    yield "<h2>Slide</h2>"
    yield facts(
        [
            ("name", slide["name"]),
            ("size", f"{slide['width']} x {slide['height']} px"),
            ("resolution", f"{report['mpp']:.4g} um/px, from: {report['mpp_source']}"),
            ("scanned at", f"{report['grid']['mpp']:.4g} um/px, every {report['settings']['stride']} px"),
            ("mask", f"{mask['name']} (SHA-256 {mask['sha256']})" if mask else "none: all tissue"),
        ]
    )


def _model(card: ModelCard) -> Iterator[str]:
    yield "<h2>Model</h2>"
    measured = [_quality(entry) for entry in card.measured]
    yield facts(
        [
            ("name", f"{card.name} {card.version}"),
            ("SHA-256", card.sha256),
            ("network", f"{card.architecture}, {card.patch_size} px at {card.mpp:g} um/px"),
            *(("measured", text) for text in measured or ["not measured"]),
            ("use", card.intended_use),
            ("limits", card.limits or "not stated"),
            ("licence", card.licence or "not stated"),
        ]
    )


def _quality(entry: Measurement) -> str:
    interval = f"{entry.f1_interval[0]:.3f} to {entry.f1_interval[1]:.3f}, " if entry.f1_interval else ""
    return (
        f"F1 {entry.f1:.3f} ({interval}precision {entry.precision:.3f}, recall {entry.recall:.3f}) at threshold "
        f"{entry.threshold:.3f} on {entry.data}; {entry.rule}"
    )


def _settings(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Settings and software</h2>"
    shown = ("threshold", "stride", "engine", "tissue", "candidate_floor", "hotspot", "hotspots")
    yield facts((name.replace("_", " "), str(report["settings"][name])) for name in shown)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report["versions"].items()))
    yield f"<p>{escape(versions)}</p>"


def _area(area_mm2: float) -> str:
    if 0 < area_mm2 < SMALL_MM2:
        return f"{area_mm2 * 1e6:.3f} {UM2}"
    return f"{area_mm2:.3f} {MM2}"


def _hpf(area_mm2: float) -> str:
    return describe_hpf(area_mm2).replace("mm2", MM2)
