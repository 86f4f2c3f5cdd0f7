"""Recipe: everything that decides what a training gives, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.normalisation import NormalisationKind
from scanner.errors import SettingsError


@dataclass(frozen=True)
class Augmentation:
    """How far training crops may differ from what was scanned; chances are per crop."""

    #: Least and greatest magnification against the recipe's mpp, drawn log-uniformly.
    scale: tuple[float, float] = (0.86, 1.2)
    #: Greatest distance of a sampled point from the crop's centre, pixels.
    jitter_px: float = 8.0
    #: Chance that a crop takes on the stain of another field of the training set.
    exchange: float = 0.3
    #: The same for cut-out figures, which otherwise betray their scanner.
    exchange_figures: float = 0.7
    #: Standard deviation of each entry of the matrix that mixes optical densities, around the identity.
    mixing: float = 0.06
    #: Standard deviation of the optical density's shift, in standard deviations of the stain.
    shift: float = 0.15
    #: Spread of the statistics used to normalise: shift in standard deviations, and log of the scale.
    statistics: float = 0.1
    #: Chance that a crop is seen through a coarser scanner, and how much coarser at most.
    coarse: float = 0.15
    coarsest: float = 2.0
    blur: float = 0.4
    noise: float = 0.3
    jpeg: float = 0.6
    jpeg_quality: tuple[int, int] = (45, 95)


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    name: str
    version: str
    architecture: str
    #: Keyword arguments of the network's config; `patch_size` must be among them.
    arguments: dict[str, Any]
    #: Distance in pixels of the outputs of a crop: the network's own stride.
    network_stride: int
    mpp: float = 0.25
    normalisation: NormalisationKind = NormalisationKind.STAIN
    #: Sub-folder of the data folder with labelled fields, and their mpp.
    fields: str = "mitos14"
    fields_mpp: float = 0.2275
    #: Sub-folder with cut-out figures, "" for none, and their mpp.
    figures: str = "amibr"
    figures_mpp: float = 0.25
    #: Cases kept for validation: never trained on.
    held_out: tuple[str, ...] = ()
    #: Every so many-th slide of each scanner keeps its cut-out figures for validation; 0 for none.
    figures_held_out: int = 0
    #: Crops have this many outputs in each direction.
    outputs: int = 3
    batch_size: int = 64
    steps: int = 10_000
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03
    #: Decay of the averaged weights per step.
    averaging: float = 0.999
    smoothing: float = 0.02
    seed: int = 0
    #: Share of a batch that comes from each pool (sampling.py).
    shares: dict[str, float] = field(
        default_factory=lambda: {"figures": 0.24, "cutouts": 0.12, "disputed": 0.14, "tissue": 0.22, "mined": 0.28}
    )
    #: Outputs nearer than this to a figure are the figure; up to `ignored_um` they do not count.
    positive_um: float = 2.5
    ignored_um: float = 6.75
    #: Where in the training the network scans its fields for hard negatives, and how many of each it keeps.
    mining: tuple[float, ...] = (0.3, 0.6)
    mined_per_field: int = 12
    #: Each round scans every so many-th field, the next round the next ones.
    mining_thinning: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Refuse what no training can run on, naming it."""
        if not isinstance(self.arguments.get("patch_size"), int):
            raise SettingsError("recipe: arguments hold no patch_size")
        if min(self.steps, self.batch_size, self.outputs, self.network_stride) < 1:
            raise SettingsError("recipe: steps, batch_size, outputs and network_stride are at least 1")

    @property
    def patch_size(self) -> int:
        """Side of the network's patch."""
        return int(self.arguments["patch_size"])

    @property
    def crop_size(self) -> int:
        """Side in pixels of a crop with `outputs` x `outputs` outputs."""
        return self.patch_size + (self.outputs - 1) * self.network_stride


def recipe_from_toml(text: str) -> Recipe:
    """The recipe written in `text`; SettingsError names what is missing or unknown."""
    try:
        fields = tomllib.loads(text)
        augmentation = {key: _as_tuple(value) for key, value in fields.pop("augmentation", {}).items()}
        fields = {key: _as_tuple(value) for key, value in fields.items()}
        fields["normalisation"] = NormalisationKind(fields.get("normalisation", NormalisationKind.STAIN))
        return Recipe(**fields, augmentation=Augmentation(**augmentation))
    except SettingsError:
        raise
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise SettingsError(f"recipe: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file."""
    try:
        return recipe_from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
