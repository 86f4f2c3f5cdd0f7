"""Small data folders of each kind that evaluation reads, and a model with folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from models import save_model
from tests.factories.slides import texture
from tests.networks.small_models import random_model

FIELD_SIDE, CUT_OUT_SIDE = 300, 90
MPP = 0.25


def write_picture(path: Path, seed: int, *, side: int = FIELD_SIDE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(texture(side, side, seed=seed)).save(path)


def write_fields(folder: Path, cases: Sequence[str]) -> Path:
    """One field of each case, with one figure."""
    for index, case in enumerate(cases):
        write_picture(folder / "images" / f"{case}.png", index)
    rows = "".join(f"{case}.png,{case},150,140\n" for case in cases)
    (folder / "labels.csv").write_text(f"image,case,x,y\n{rows}")
    return folder


def write_figures(folder: Path, scanners: Sequence[str], *, slides: int = 2) -> Path:
    """One cut-out figure of each slide of each scanner."""
    rows = [(f"{scanner}{slide}.png", slide, scanner) for scanner in scanners for slide in range(slides)]
    for index, (name, _, _) in enumerate(rows):
        write_picture(folder / "patches" / name, index, side=CUT_OUT_SIDE)
    lines = "".join(f"{name},{slide},{scanner}\n" for name, slide, scanner in rows)
    (folder / "patches.csv").write_text(f"file,slide,scanner_group\n{lines}")
    return folder


def write_points(folder: Path) -> Path:
    """Two fields: one with a figure and another cell, one with a point that readers were unsure about."""
    for name in "ab":
        write_picture(folder / "images" / f"{name}.png", ord(name))
    for table, row in (("labels", "a.png,100,100"), ("hard_negatives", "a.png,40,200"), ("unsure", "b.png,60,60")):
        (folder / f"{table}.csv").write_text(f"image,x,y\n{row}\n")
    return folder


def save_with_folds(folder: Path, folds: Sequence[tuple[str, str]], *, seed: int = 0) -> Path:
    """A model with random weights, and for each (case, scanner) a fold that was trained without both."""
    cases = [case for case, _ in folds]
    _save(folder, cases, [], seed)
    for index, (case, scanner) in enumerate(folds):
        others = [one for one in cases if one != case]
        _save(folder / "folds" / str(index), others, [case, scanner], seed + index + 1)
    return folder


def _save(folder: Path, cases: list[str], held_out: list[str], seed: int) -> None:
    model = random_model(seed=seed)
    training = {"cases": cases, "held_out": held_out, "fields_mpp": MPP, "figures_mpp": MPP}
    save_model(folder, replace(model, card=replace(model.card, training=training)))
