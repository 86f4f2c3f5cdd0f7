"""run.json: what was scanned, with what, and what came out. Written last: a folder that holds it is complete."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.card import NOTICE, ModelCard
from models.identity import contract_sha256
from scanner.detections.detection import counted
from scanner.detections.hotspots import Hotspot, ThresholdCount, counts_by_threshold, mitotic_count
from scanner.devices.device_queue import StageSeconds
from scanner.errors import OutputError
from scanner.exports.files import remove_extras
from scanner.files.atomic import sync_folder, write_text
from scanner.files.result_names import REPORT_NAME
from scanner.files.run_report import read_report, write_report
from scanner.geometry.windows import HPF_MM2, window_from_text
from scanner.inference.certificates import certificate_for
from scanner.inference.engine import describe_network
from scanner.inference.precision import measure_precision
from scanner.inference.scorer import Scorer
from scanner.result import PreparedSlide, ScanResult
from scanner.settings import ScanSettings, result_settings
from scanner.slides import Slide
from scanner.slides.files.fingerprint import fingerprint
from scanner.slides.files.foreign import check_still_there
from scanner.slides.metadata.contents import describe_image, further_image
from scanner.survey.mask_files import describe_mask

#: Within the folder of an unfinished scan: what goes with the run.json of the scan before.
ENDED_NAME = "ended.json"
_PACKAGES = ("mitoscan", "torch", "numpy", "scipy", "scikit-image", "tifffile", "imagecodecs", "openslide-bin", "zarr")


def describe_result(prepared: PreparedSlide, result: ScanResult) -> dict[str, Any]:
    """What was scanned and found: the part of run.json that a second scan gives again, byte for byte."""
    card, settings, frame, readable = prepared.model.card, prepared.settings, prepared.frame, result.tissue
    count = mitotic_count(result.detections, readable, margin_um=card.margin_um)
    content = {
        "notice": NOTICE,
        "model": describe_model(card),
        "slide": describe_slide(prepared.slide),
        "mpp": frame.level0_mpp,
        "mpp_source": prepared.mpp_source,
        "grid": {"mpp": frame.grid_mpp, "width": frame.grid_width, "height": frame.grid_height},
        "map": {"mpp": frame.map_mpp, "width": frame.map_width, "height": frame.map_height},
        "count": count.count,
        "count_per_mm2": count.per_mm2,
        "counts": {
            "counted": count.count,
            "on_border": len(result.detections) - count.count,
            "candidates": len(result.candidates),
            "by_class": {label: sum(d.label == label for d in counted(result.detections)) for label in card.mapped},
        },
        # In mm2: tissue and a rim are scanned, tissue off the slide's border is counted in; what could not be read, and
        # pen marks, are in none but their own.
        "area_mm2": {
            "slide": frame.area_mm2,
            "tissue": readable.area_mm2,
            "counted": count.area_mm2,
            "scanned": readable.scanned_mm2,
            "unreadable": prepared.tissue.area_mm2 - readable.area_mm2,
            "ink": prepared.tissue.ink_mm2,
        },
        "thresholds": [asdict(row) for row in threshold_table(prepared, result)],
        "hotspot_window": describe_window(settings),
        "hotspots": [describe_hotspot(hotspot) for hotspot in result.hotspots],
        "statistics": asdict(prepared.statistics),
        "background": None if result.background is None else asdict(result.background),
        "second_look": card.second_look,
        "settings": settings_in_force(prepared),
        "network": describe_network(prepared.scorer.net),
        "certificate": certificate_for(prepared.model, prepared.frame.stride),
        "asked_for": asked_of(prepared),
        "versions": describe_software(),
    }
    if (precision := measure_precision(prepared)) is not None:
        content["precision"] = precision
    if result.segmentation is not None:
        content["classes"] = [asdict(area) for area in result.segmentation.areas]
    if result.verification is not None:
        content["verification"] = asdict(result.verification) | {"holds": result.verification.holds}
    return content


def finish_report(
    prepared: PreparedSlide, result: ScanResult, *, total_seconds: float, folder: Path | None
) -> ScanResult:
    """The result with its times in the report, which is written to `folder` if there is one."""
    content = result.report | {
        "timing": describe_timing(prepared.scorer.seconds, total_seconds),
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


def describe_slide(slide: Slide) -> dict[str, Any]:
    """Name and size in level-0 px; `origin` is the x and y that GeoJSON counts from; an ICC profile is not applied.

    `image` is the index of the one that was scanned, `images` has all of the file, and `notes` what was left out.
    """
    level0, (top, left) = slide.levels[0], slide.origin
    return {
        "name": slide.path.name,
        "width": level0.width,
        "height": level0.height,
        "origin": {"x": left, "y": top},
        "icc": "present" if slide.has_icc else "absent",
        "image": slide.image.index,
        "images": [describe_image(image) for image in slide.images],
        "notes": list(slide.notes),
    }


def describe_model(card: ModelCard) -> dict[str, Any]:
    """Identity of the model: of its weights, and of these together with its preprocessing."""
    identity = {"name": card.name, "version": card.version, "sha256": card.sha256}
    return identity | {"contract_sha256": contract_sha256(card)}


def describe_hotspot(hotspot: Hotspot) -> dict[str, Any]:
    """A window, half-open, in level-0 px."""
    box = hotspot.box
    place = {"x": box.left, "y": box.top, "width": box.width, "height": box.height}
    return place | {key: value for key, value in asdict(hotspot).items() if key != "box"}


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
    chosen = asdict(prepared.settings) | {
        "stride": prepared.frame.stride,
        "tile_size": prepared.tile_side,
        "threshold": prepared.threshold,
        "device": str(prepared.scorer.device),
        "workers": prepared.readers,
        "mask": describe_mask(prepared.settings.mask, prepared.slide.path, image=further_image(prepared.slide)),
        "image": prepared.slide.image.index,
    }
    return chosen | {"radius_um": card.radius_um, "smoothing_um": card.smoothing_um, "margin_um": card.margin_um}


def asked_for(settings: ScanSettings, card: ModelCard, slide: Path) -> dict[str, Any]:
    """What a finished scan must agree with to be skipped: file, model, and the settings that change results."""
    file: dict[str, Any] = {"name": slide.name, "fingerprint": fingerprint(slide)}
    if settings.image is not None:
        file["image"] = settings.image
    chosen = result_settings(settings) | {"mask": describe_mask(settings.mask, slide, image=settings.image)}
    return {"slide": file, "model": describe_model(card), "settings": chosen}


def asked_of(prepared: PreparedSlide) -> dict[str, Any]:
    """`asked_for` of a slide that is open: if its share has gone meanwhile, the error says what to do."""
    slide = prepared.slide
    check_still_there(slide.path)
    settings = replace(prepared.settings, image=further_image(slide))
    return asked_for(settings, prepared.model.card, slide.path)


def plan_of_map(prepared: PreparedSlide, tile_side: int) -> dict[str, Any]:
    """Everything that the bytes of a map depend on: an unfinished map is continued only if all of it is the same."""
    asked = asked_of(prepared)
    return asked | {
        "frame": asdict(prepared.frame),
        # Measured anew when a scan goes on: where the slide then reads differently, nothing may be mixed.
        "statistics": asdict(prepared.statistics),
        "scanned_cells": hashlib.sha256(prepared.tissue.values.tobytes()).hexdigest(),
        "mapped": list(prepared.model.card.mapped),
        "tile_side": tile_side,
        "batch_size": prepared.settings.batch_size,
        "device": str(prepared.scorer.device),
        "form": None if prepared.scorer.choice is None else str(prepared.scorer.choice.form),
        "versions": describe_software(),
    }


def describe_timing(seconds: StageSeconds, total: float) -> dict[str, float]:
    """Seconds of each stage, which overlap (`read` with `net`), and the share of the total that the device was idle."""
    idle_share = max(0.0, 1 - seconds.net / total) if total else 0.0
    found = asdict(seconds) | {"total": total, "idle_share": idle_share}
    return {key: round(value, 4) for key, value in found.items()}


def describe_form(scorer: Scorer) -> dict[str, Any]:
    """The form that the network ran in; of a dense net on a GPU also what was measured, and what did not work."""
    return {"name": scorer.form} if scorer.choice is None else scorer.choice.describe()


def describe_software() -> dict[str, str]:
    """Versions of what computed the result."""
    return dict(_software())


@cache
def _software() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)
