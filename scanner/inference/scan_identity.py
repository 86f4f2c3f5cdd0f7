"""What makes two scans the same: the file, the model, the settings that change results, and what computed it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.card import ModelCard
from models.identity import contract_sha256
from scanner.inference.prepared_slide import PreparedSlide
from scanner.settings import ScanSettings, result_settings
from scanner.slides.files.fingerprint import fingerprint
from scanner.slides.files.foreign import check_still_there
from scanner.slides.metadata.contents import further_image
from scanner.survey.mask_files import describe_mask

_PACKAGES = ("mitoscan", "torch", "numpy", "scipy", "scikit-image", "tifffile", "imagecodecs", "openslide-bin", "zarr")


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


def plan_of_map(prepared: PreparedSlide) -> dict[str, Any]:
    """Everything that the bytes of a map depend on: an unfinished map is continued only if all of it is the same."""
    survey, scorer = prepared.survey, prepared.scorer
    return asked_of(prepared) | {
        "frame": asdict(survey.frame),
        # Measured anew when a scan goes on: where the slide then reads differently, nothing may be mixed.
        "statistics": asdict(survey.statistics),
        "scanned_cells": hashlib.sha256(survey.tissue.values.tobytes()).hexdigest(),
        "mapped": list(prepared.model.card.mapped),
        "tile_side": prepared.tile_side,
        "batch_size": prepared.settings.batch_size,
        "device": str(scorer.device),
        "form": None if scorer.choice is None else str(scorer.choice.form),
        "versions": describe_software(),
    }


def describe_model(card: ModelCard) -> dict[str, Any]:
    """Identity of the model: of its weights, and of these together with its preprocessing."""
    identity = {"name": card.name, "version": card.version, "sha256": card.sha256}
    return identity | {"contract_sha256": contract_sha256(card)}


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
