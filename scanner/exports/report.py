"""run.json: what was scanned, with what, and what came out. Written last: a folder that holds it is complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.card import NOTICE
from scanner.detections.detection import counted
from scanner.detections.hotspots import ThresholdCount, counts_by_threshold, describe_hotspot, mitotic_count
from scanner.devices.device_queue import StageSeconds
from scanner.errors import OutputError
from scanner.exports.files import remove_extras
from scanner.files.atomic import sync_folder, write_text
from scanner.files.result_names import REPORT_NAME
from scanner.files.run_report import read_report, write_report
from scanner.geometry.windows import HPF_MM2, window_from_text
from scanner.inference.engine import describe_network
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.progress import Stage
from scanner.inference.scan_identity import asked_of, describe_model, describe_software
from scanner.inference.scorer import Scorer
from scanner.result import ScanResult
from scanner.settings import ScanSettings
from scanner.slides import Slide
from scanner.slides.metadata.contents import describe_image, further_image
from scanner.stage_clock import Spent, describe_stages
from scanner.survey.mask_files import describe_mask

#: Within the folder of an unfinished scan: what goes with the run.json of the scan before.
ENDED_NAME = "ended.json"


def describe_result(prepared: PreparedSlide, result: ScanResult) -> dict[str, Any]:
    """What was scanned and found: the part of run.json that a second scan gives again, byte for byte."""
    card, settings, frame, checks = prepared.model.card, prepared.settings, prepared.frame, result.checks
    content = {
        "notice": NOTICE,
        "model": describe_model(card),
        "slide": describe_slide(prepared.slide, settings.name),
        "mpp": frame.level0_mpp,
        "mpp_source": prepared.survey.mpp_source,
        "grid": {"mpp": frame.grid_mpp, "width": frame.grid_width, "height": frame.grid_height},
        "map": {"mpp": frame.map_mpp, "width": frame.map_width, "height": frame.map_height},
        **_describe_count(prepared, result),
        "thresholds": [asdict(row) for row in threshold_table(prepared, result)],
        "hotspot_window": describe_window(settings),
        "hotspots": [describe_hotspot(hotspot) for hotspot in result.hotspots],
        "statistics": asdict(prepared.survey.statistics),
        "background": None if result.background is None else asdict(result.background),
        "second_look": card.second_look,
        "settings": settings_in_force(prepared),
        "network": describe_network(prepared.scorer.net),
        "certificate": checks.certificate,
        "asked_for": asked_of(prepared),
        "versions": describe_software(),
    }
    if prepared.survey.domain is not None:
        content["domain"] = asdict(prepared.survey.domain)
    if checks.precision is not None:
        content["precision"] = asdict(checks.precision)
    if result.segmentation is not None:
        content["classes"] = [asdict(area) for area in result.segmentation.areas]
    if checks.verification is not None:
        content["verification"] = asdict(checks.verification) | {"holds": checks.verification.holds}
    return content


def _describe_count(prepared: PreparedSlide, result: ScanResult) -> dict[str, Any]:
    """How many figures, and in which area.

    In mm2: tissue and a rim are scanned, tissue off the slide's border is counted in; what could not be read, and pen
    marks, are in none but their own.
    """
    card, frame, readable, tissue = prepared.model.card, prepared.frame, result.tissue, prepared.survey.tissue
    count = mitotic_count(result.detections, readable, margin_um=card.margin_um)
    return {
        "count": count.count,
        "count_per_mm2": count.per_mm2,
        "counts": {
            "counted": count.count,
            "on_border": len(result.detections) - count.count,
            "candidates": len(result.candidates),
            "by_class": {label: sum(d.label == label for d in counted(result.detections)) for label in card.mapped},
        },
        "area_mm2": {
            "slide": frame.area_mm2,
            "tissue": readable.area_mm2,
            "counted": count.area_mm2,
            "scanned": readable.scanned_mm2,
            "unreadable": tissue.area_mm2 - readable.area_mm2,
            "ink": tissue.ink_mm2,
        },
    }


def finish_report(
    prepared: PreparedSlide,
    result: ScanResult,
    seconds: StageSeconds,
    *,
    spent: Mapping[str, Spent],
    folder: Path | None,
) -> ScanResult:
    """The result with its times in the report, which is written to `folder` if there is one."""
    content = result.report | {
        "timing": describe_timing(seconds, spent),
        "form": describe_form(prepared.scorer),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if folder is not None:
        write_report(folder / REPORT_NAME, content)
    return replace(result, report=content)


def end_earlier_scan(folder: Path, work: Path) -> None:
    """Remove the run.json of an earlier scan, and the files that only that one was asked for.

    Whoever finds run.json finds a complete scan: it goes before its files are replaced. What goes after it is noted in
    `work` first, the folder of the unfinished scan, so that a kill in between leaves nothing behind.
    """
    path, note = folder / REPORT_NAME, work / ENDED_NAME
    if path.exists():
        write_text(note, json.dumps(_exports_of(path)))
        try:
            path.unlink()
            sync_folder(folder)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed: {error.strerror}") from error
    with suppress(OSError, ValueError):  # There was none.
        remove_extras(folder, json.loads(note.read_text(encoding="utf-8")))
        note.unlink()


def _exports_of(path: Path) -> list[str]:
    """The files that a complete scan was asked for."""
    try:
        return [str(name) for name in read_report(path)["settings"]["exports"]]
    except (OSError, ValueError, KeyError, TypeError):  # It is none of ours.
        return []


def describe_slide(slide: Slide, name: str | None = None) -> dict[str, Any]:
    """Name and size in level-0 px; `origin` is the x and y that GeoJSON counts from; an ICC profile is not applied.

    `image` is the index of the one that was scanned, `images` has all of the file, and `notes` what was left out.
    """
    level0, (top, left) = slide.levels[0], slide.origin
    return {
        "name": slide.path.name if name is None else name,
        "width": level0.width,
        "height": level0.height,
        "origin": {"x": left, "y": top},
        "icc": "present" if slide.has_icc else "absent",
        "image": slide.image.index,
        "images": [describe_image(image) for image in slide.images],
        "notes": list(slide.notes),
    }


def describe_window(settings: ScanSettings) -> dict[str, Any]:
    """What a hotspot is: an area in mm2, and beside it in high-power fields with theirs."""
    window = window_from_text(settings.hotspot)
    return {"name": settings.hotspot, **asdict(window), "hpf": window.area_mm2 / HPF_MM2, "hpf_mm2": HPF_MM2}


def threshold_table(prepared: PreparedSlide, result: ScanResult) -> tuple[ThresholdCount, ...]:
    """The mitotic count at the threshold in force and at round ones, as far down as there are candidates."""
    rounds = [step / 10 for step in range(1, 10) if step / 10 >= prepared.settings.candidate_floor]
    margin_um = prepared.model.card.margin_um
    return counts_by_threshold(result.candidates, result.tissue, [*rounds, prepared.threshold], margin_um=margin_um)


def settings_in_force(prepared: PreparedSlide) -> dict[str, Any]:
    """Every setting that the scan ran with: the card's where none was asked for."""
    card = prepared.model.card
    chosen = {key: value for key, value in asdict(prepared.settings).items() if key != "name"} | {
        "stride": prepared.frame.stride,
        "tile_size": prepared.tile_side,
        "threshold": prepared.threshold,
        "device": str(prepared.scorer.device),
        "workers": prepared.readers,
        "mask": describe_mask(prepared.settings.mask, prepared.slide.path, image=further_image(prepared.slide)),
        "image": prepared.slide.image.index,
    }
    return chosen | {"radius_um": card.radius_um, "smoothing_um": card.smoothing_um, "margin_um": card.margin_um}


def describe_timing(seconds: StageSeconds, spent: Mapping[str, Spent]) -> dict[str, Any]:
    """Seconds of the stages, which follow one another and add up to `total`, and of what overlaps within the network's.

    That is `read` with `net`; `wait` is the time between two tiles for which the device had nothing to do.
    `idle_share` is the share of the whole scan for which it did not compute.
    """
    total = sum(one.wall for one in spent.values())
    post = sum(spent[stage].wall for stage in (Stage.FIGURES, Stage.RESCORING) if stage in spent)
    idle_share = max(0.0, 1 - seconds.net / total) if total else 0.0
    found = asdict(seconds) | {"post": post, "total": total, "idle_share": idle_share}
    return {key: round(value, 4) for key, value in found.items()} | {"stages": describe_stages(spent)}


def describe_form(scorer: Scorer) -> dict[str, Any]:
    """The form that the network ran in; of a dense net on a GPU also what was measured, and what did not work."""
    return {"name": scorer.form} if scorer.choice is None else scorer.choice.describe()
