"""report.html: a scan for people, in one file: count, hotspots, thresholds, areas, model, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from models.card import Measurement, ModelCard
from scanner.exports.html import MM2, Table, hpf, picture, write_html
from scanner.exports.legend import titled
from scanner.files.run_report import domain_warning
from scanner.geometry.windows import SMALL_MM2
from scanner.result import ScanResult

UM2 = "um\N{SUPERSCRIPT TWO}"
#: Names and what they are.
Facts = list[tuple[str, str]]


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
    write_html(
        path,
        "report.html",
        title=titled(report["slide"]["name"], "classes" if "classes" in report else "mitotic figures"),
        report=report,
        warning=domain_warning(report),
        overview=picture(overview, text="overview"),
        areas=_areas(report),
        slide=_slide(report),
        model=_model(card),
        settings=_settings(report),
        versions=", ".join(f"{name} {version}" for name, version in sorted(report["versions"].items())),
        **(_of_classes(report) if "classes" in report else _of_figures(report, hotspots)),
    )


def _of_classes(report: dict[str, Any]) -> dict[str, Any]:
    rows = [[row["name"], f"{row['share']:.1%}", _area(row["area_mm2"])] for row in report["classes"]]
    return {"classes": Table(["class", "share", "area"], rows)}


def _of_figures(report: dict[str, Any], pictures: Mapping[str, Image.Image]) -> dict[str, Any]:
    return {
        "classes": None,
        "window_shape": _shape(report["hotspot_window"]) if report["hotspots"] else "",
        "hotspots": _hotspots(report),
        "pictures": [picture(image, text=name) for name, image in pictures.items()],
        "thresholds": _thresholds(report),
    }


def _hotspots(report: dict[str, Any]) -> Table:
    head = ["rank", "count", f"area {MM2}", "in HPF", f"tissue {MM2}", f"per {MM2}", f"per {MM2} of tissue", "x, y px"]
    rows = [
        [
            str(rank),
            str(spot["count"]),
            f"{spot['area_mm2']:.2f}",
            hpf(spot["area_mm2"]),
            f"{spot['tissue_mm2']:.2f}",
            f"{spot['per_mm2']:.1f}",
            f"{spot['per_tissue_mm2']:.1f}",
            f"{spot['x']}, {spot['y']}",
        ]
        for rank, spot in enumerate(report["hotspots"], start=1)
    ]
    return Table(head, rows)


def _shape(window: dict[str, Any]) -> str:
    if window["shape"] == "circle":
        return "a circle"
    return "a square" if window["aspect"] == 1 else f"a box {window['aspect']:.2f} times as wide as high"


def _thresholds(report: dict[str, Any]) -> Table:
    rows = [[f"{row['threshold']:.3f}", str(row["count"]), f"{row['per_mm2']:.1f}"] for row in report["thresholds"]]
    in_force = report["settings"]["threshold"]
    chosen = [index for index, row in enumerate(report["thresholds"]) if row["threshold"] == in_force]
    return Table(["threshold", "count", f"per {MM2}"], rows, chosen)


def _areas(report: dict[str, Any]) -> Facts:
    names = {
        "slide": "slide",
        "scanned": "scanned (tissue and a rim)",
        "tissue": "tissue",
        "counted": "tissue off the slide's very border, which the count refers to",
        "unreadable": "tissue that could not be read",
        "ink": "pen marks, ink and dark dirt",
    }
    return [(text, _area(report["area_mm2"][name])) for name, text in names.items() if name in report["area_mm2"]]


def _slide(report: dict[str, Any]) -> Facts:
    slide, mask = report["slide"], report["settings"]["mask"]
    return [
        *([("name", slide["name"])] if slide["name"] else []),
        ("size", f"{slide['width']} x {slide['height']} px"),
        ("resolution", f"{report['mpp']:.4g} um/px, from: {report['mpp_source']}"),
        ("scanned at", f"{report['grid']['mpp']:.4g} um/px, every {report['settings']['stride']} px"),
        ("mask", f"{mask['name']} (SHA-256 {mask['sha256']})" if mask else "none: all tissue"),
    ]


def _model(card: ModelCard) -> Facts:
    measured = [_quality(entry) for entry in card.measured]
    return [
        ("name", f"{card.name} {card.version}"),
        ("SHA-256", card.sha256),
        ("network", f"{card.architecture}, {card.patch_size} px at {card.mpp:g} um/px"),
        *(("measured", text) for text in measured or ["not measured"]),
        ("use", card.intended_use),
        ("limits", card.limits or "not stated"),
        ("licence", card.licence or "not stated"),
    ]


def _quality(entry: Measurement) -> str:
    interval = f"{entry.f1_interval[0]:.3f} to {entry.f1_interval[1]:.3f}, " if entry.f1_interval else ""
    return (
        f"F1 {entry.f1:.3f} ({interval}precision {entry.precision:.3f}, recall {entry.recall:.3f}) at threshold "
        f"{entry.threshold:.3f} on {entry.data}; {entry.rule}"
    )


def _settings(report: dict[str, Any]) -> Facts:
    shown = ("threshold", "stride", "engine", "tissue", "candidate_floor", "hotspot", "hotspots")
    return [(name.replace("_", " "), str(report["settings"][name])) for name in shown]


def _area(area_mm2: float) -> str:
    if 0 < area_mm2 < SMALL_MM2:
        return f"{area_mm2 * 1e6:.3f} {UM2}"
    return f"{area_mm2:.3f} {MM2}"
