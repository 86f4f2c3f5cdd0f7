"""What `benchmarks.transfer` compares: a recipe built up step by step, in short trainings of several seeds.

Each row is the row before it with one thing changed. The folds leave out cases and scanners together, so that one
training tells of both. Short trainings are no match for a shipped model: compare rows with one another, and with how
far the seeds of a row lie apart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.card import CARD_NAME
from models.sources import ZOO
from scanner.files.atomic import write_text
from scanner.training.loop import TrainingProgress, TrainSettings
from scanner.training.recipe import Augmentation, Recipe, read_recipe
from scanner.training.train import train

SEEDS = (0, 1, 2)
STEPS = 400
#: How long the trainings of a model took, in its folder.
MINUTES_NAME = "minutes.txt"
#: Cases left out, and with them the scanners of cut-outs.
FOLDS = (
    ("H04", "MIDOG21_AperioCS2"),
    ("H03", "TUPAC16_LeicaSCN400"),
    ("H07", "H12", "MIDOG21_HamamatsuS360"),
    ("H17", "MIDOG21_HamamatsuXR"),
    ("H11", "H15", "TUPAC16_UMCU_Aperio"),
)
#: The second scanner of the cases, which is left out with H03: its fields are of that case.
SECOND_SCANNER = "AperioXT"
TWINS = {
    "twins_scanner": SECOND_SCANNER,
    "twin_fields": "mitos14_aperio",
    "twin_figures": "mitos14_aperio_crops",
    "twins_mpp": 0.2455,
    "folds": tuple((*cases, SECOND_SCANNER) if "H03" in cases else cases for cases in FOLDS),
}
#: Networks of about 23 kFLOP per pixel.
ORDINARY = {"stem": 24, "stem_kernel": 4, "stages": [32, 64], "head": 96, "patch_size": 86, "dropout": 0.2}
GROUP = {"stem": 24, "stem_kernel": 5, "stages": [24, 64], "head": 128, "patch_size": 83, "dropout": 0.2}
DEVICES = Augmentation(scale=(0.8, 1.25), statistics=0.15, device=0.5, jpeg_twice=0.25)
BLENDED = replace(DEVICES, blend=0.2, blend_figures=0.5)


def rows(steps: int = STEPS) -> dict[str, Recipe]:
    """The recipe of each row."""
    shipped = read_recipe(ZOO / "mitosis-1" / "recipe.toml")
    short = {"steps": steps, "fold_steps": None, "mining": (0.5,), "mining_thinning": 4, "figures_held_out": 0}
    ordinary = replace(
        shipped, **short, architecture="validnet", arguments=ORDINARY, augmentation=Augmentation(), folds=FOLDS
    )
    group = replace(ordinary, architecture="p4mnet", arguments=GROUP)
    return {
        "ordinary convolutions": ordinary,
        "group convolutions": group,
        "and other devices": replace(group, augmentation=DEVICES),
        "and blending": replace(group, augmentation=BLENDED),
        "and twins": replace(group, augmentation=BLENDED, **TWINS),
    }


def folder_name(row: str) -> str:
    """Of the models of a row."""
    return row.replace(" ", "-")


def train_rows(out: Path, data: Path, recipes: Mapping[str, Recipe], seeds: Sequence[int], *, device: str) -> None:
    """Train what is not trained yet: `OUT/<row>/s<seed>/`, each a model folder with its folds; resumes."""
    for name, recipe in recipes.items():
        for seed in seeds:
            folder = out / folder_name(name) / f"s{seed}"
            if (folder / CARD_NAME).is_file():
                continue
            started = time.monotonic()
            train(
                replace(recipe, seed=seed),
                data,
                folder,
                settings=TrainSettings(device, checkpoint=folder / "training.checkpoint", report_every=100),
                on_progress=lambda progress, of=folder: _show(progress, of),
            )
            write_text(folder / MINUTES_NAME, f"{(time.monotonic() - started) / 60:.1f}\n")


def _show(progress: TrainingProgress, folder: Path) -> None:
    print(f"{folder}: step {progress.step} of {progress.steps}, loss {progress.loss:.3f}", flush=True)
