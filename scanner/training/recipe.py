"""Recipe: everything that determines the result of a training, read from TOML."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.card import TASKS
from models.normalisation import STAINED_CHANNELS, Normalisation, NormalisationKind
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
    #: Of crops without a stain, in each channel: spread of the log of the contrast, and of the brightness as a share of
    #: white.
    contrast: float = 0.15
    brightness: float = 0.06
    jpeg: float = 0.6
    jpeg_quality: tuple[int, int] = (45, 95)
    #: Chance that a crop is compressed a second time.
    jpeg_twice: float = 0.0
    #: Chance that a crop is seen by another device; of such crops: spread of the log of a gamma, chances of the
    #: sharpness and grain of another crop and of colours from a mosaic, most that an unsharp mask adds, and the shift
    #: of each colour in pixels.
    device: float = 0.0
    tone: float = 0.15
    amplitudes: float = 0.3
    mosaic: float = 0.2
    sharpen: float = 1.5
    fringe: float = 0.4
    #: Chance that the surroundings of a place are replaced by other tissue: of cut-outs, and of all other places.
    blend_figures: float = 0.0
    blend: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    name: str
    version: str
    architecture: str
    #: Keyword arguments of the network's config; `patch_size` must be among them.
    arguments: dict[str, Any]
    #: Distance in pixels of the outputs of a crop: the network's own stride; 0: told by its layers.
    network_stride: int = 0
    #: Name or folder of a model whose weights the training begins with, of this architecture and these arguments; "":
    #: random ones. A folder may lie beside the recipe.
    begin: str = ""
    mpp: float = 0.25
    normalisation: NormalisationKind = NormalisationKind.STAIN
    #: "detection" of points, or "segmentation": a class for every pixel.
    task: str = "detection"
    #: The background first.
    classes: tuple[str, ...] = ("background", "mitosis")
    #: Grey value that stands for each class in label images; the class's index if left out.
    label_values: tuple[int, ...] = ()
    #: What the four numbers of COCO's boxes are, "corners" or "size"; "" if the file states it.
    boxes: str = ""
    #: Sub-folder of the data folder with labelled fields, "" for itself; and their mpp, 0 for the recipe's.
    fields: str = ""
    fields_mpp: float = 0.0
    #: Sub-folder with cut-out figures, "" for none, and their mpp.
    figures: str = ""
    figures_mpp: float = 0.25
    #: Cases of `fields` on a second scanner: its name, the sub-folders with fields and with cut-outs, and their mpp.
    twins_scanner: str = ""
    twin_fields: str = ""
    twin_figures: str = ""
    twins_mpp: float = 0.25
    #: Cases and scanners kept for validation: never trained on.
    held_out: tuple[str, ...] = ()
    #: Every so many-th slide of each scanner keeps its cut-out figures for validation; 0 for none.
    figures_held_out: int = 0
    #: Cases that the threshold is chosen on: not trained on either.
    tuned_on: tuple[str, ...] = ()
    #: Of a segmentation: also a lower one for borders, by the segments that the target encloses.
    tuned_by_borders: bool = False
    #: Crops have this many outputs in each direction; of detections an odd number, so that one lies in the middle.
    outputs: int = 3
    batch_size: int = 64
    steps: int = 10_000
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03
    #: Decay of the averaged weights per step.
    averaging: float = 0.999
    smoothing: float = 0.02
    #: How much an output of each class counts in the loss; all the same if left out.
    class_weights: tuple[float, ...] = ()
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
    #: Groups of cases; for each group another network is trained without it, to be evaluated on it (`folds/`).
    folds: tuple[tuple[str, ...], ...] = ()
    #: Steps of these trainings, on fewer cases; None: as many as for the model itself.
    fold_steps: int | None = None
    #: Fields of the card that training does not determine: stride, threshold, radius_um, licence, limits, ...
    card: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse impossible values by name."""
        if not isinstance(self.arguments.get("patch_size"), int):
            raise SettingsError("recipe: arguments hold no patch_size")
        if min(self.steps, self.batch_size, self.outputs) < 1 or self.network_stride < 0:
            raise SettingsError("recipe: steps, batch_size and outputs are at least 1, network_stride not below 0")
        if self.task == "detection" and self.outputs % 2 == 0:
            raise SettingsError(
                f"recipe: outputs = {self.outputs} is even; it must be odd, so that one lies on the central point"
            )
        if self.task not in TASKS:
            raise SettingsError(f"recipe: task {self.task!r} is unknown; known: {', '.join(TASKS)}")
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise SettingsError(f"recipe: classes {list(self.classes)} must be two or more, each once")
        if self.channels < 1:
            raise SettingsError(f"recipe: channels = {self.channels} is impossible")
        if self.channels != STAINED_CHANNELS and self.normalisation is NormalisationKind.STAIN:
            raise SettingsError(
                f"recipe: images of {self.channels} channels have no stain, as red, green and blue have; set "
                "normalisation to affine"
            )
        for key in ("label_values", "class_weights"):
            if len(getattr(self, key)) not in (0, len(self.classes)):
                raise SettingsError(f"recipe: {key} must have one value for each of {', '.join(self.classes)}")

    def fold(self, cases: tuple[str, ...]) -> Recipe:
        """The recipe of the fold without `cases`."""
        return replace(self, held_out=cases, folds=(), steps=self.fold_steps or self.steps)

    @property
    def card_arguments(self) -> dict[str, Any]:
        """`arguments` as a card has them: lists, not tuples."""
        return {name: _as_list(value) for name, value in self.arguments.items()}

    @property
    def patch_size(self) -> int:
        """Side of the network's patch."""
        return int(self.arguments["patch_size"])

    @property
    def channels(self) -> int:
        """What the network reads of a pixel: 1 grey, 3 red, green and blue, else so many channels of the file."""
        return int(self.arguments.get("channels", 3))

    @property
    def reference(self) -> Normalisation:
        """The normalisation of a slide of which nothing was measured."""
        return Normalisation(self.normalisation, (0.5,) * self.channels, (0.5,) * self.channels)

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
        is_stained = fields.get("arguments", {}).get("channels", STAINED_CHANNELS) == STAINED_CHANNELS
        usual = NormalisationKind.STAIN if is_stained else NormalisationKind.AFFINE
        fields["normalisation"] = NormalisationKind(fields.get("normalisation", usual))
        return Recipe(**fields, augmentation=Augmentation(**augmentation))
    except SettingsError:
        raise
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise SettingsError(f"recipe: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file."""
    try:
        recipe = recipe_from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if recipe.begin and (path.parent / recipe.begin).is_dir():
        recipe = replace(recipe, begin=str(path.parent / recipe.begin))
    if recipe.architecture.endswith(".py"):  # A network of one's own lies beside its recipe.
        return replace(recipe, architecture=str(path.parent / recipe.architecture))
    return recipe


def checkpoint_name(recipe: Recipe) -> str:
    """The file that a training by this recipe is continued from: another recipe has another."""
    return f"training-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}.checkpoint"


def _as_list(value: Any) -> Any:
    return [_as_list(one) for one in value] if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(one) for one in value) if isinstance(value, list) else value
