"""ModelCard: everything that must be known to run a model rightly, beside its weights."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from models.domain import Domain, domain_from_table
from models.errors import CardError, ModelDamagedError, ModelNotFoundError
from models.normalisation import STAINED_CHANNELS, Normalisation, NormalisationKind

CARD_NAME = "card.toml"
NOTICE = "Research use only. Not a medical device."

#: What comes of a scan: points, or a class for every position.
TASKS = ("detection", "segmentation")


@dataclass(frozen=True)
class Calibration:
    """Logit -> probability: sigmoid((logit - bias) / temperature), fitted on validation cases."""

    temperature: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True)
class BackgroundCalibration:
    """How a slide's own background moves its scores: by what it differs from that of the slides trained on."""

    #: Logit of the background score on the slides that the threshold was chosen on.
    reference: float
    #: The background score is this quantile of the positions on tissue.
    quantile: float = 0.99
    #: Share of the difference that is subtracted.
    strength: float = 1.0
    #: Of a sample of this area half the difference is subtracted, of larger ones more.
    doubted_mm2: float = 0.0
    #: No score is moved further than this, in logits.
    most: float = 3.0


@dataclass(frozen=True)
class Measurement:
    """One measured figure of quality, with the rule it was measured by."""

    #: What was scored, e.g. "mitos14 cases H03, H11".
    data: str
    #: The matching rule, e.g. "8 um, each label once".
    rule: str
    f1: float
    precision: float
    recall: float
    threshold: float
    #: 95 % of the F1 when cases are drawn anew, with replacement; empty if there are too few cases.
    f1_interval: tuple[float, ...] = ()
    #: Cost of that scan: floating-point operations of its convolutions for a pixel of 0.25 um; 0: unknown.
    flops_per_px: float = 0.0


@dataclass(frozen=True)
class ModelCard:
    """Identity, contract and provenance of a patch classifier.

    Examples
    --------
    >>> from models import ModelCard
    >>> arguments = {"stages": [[4, 3], [4, 3]], "patch_size": 21, "hidden": 8}
    >>> card = ModelCard("small", "1", "dannet", arguments, patch_size=21, mpp=0.25, threshold=0.4)
    >>> card.target, card.threshold
    ('mitosis', 0.4)
    """

    name: str
    version: str
    #: Registered network family, e.g. "dannet".
    architecture: str
    #: Keyword arguments of the family's config.
    arguments: dict[str, Any]
    #: Side of the square patch that the network classifies, in pixels at `mpp`.
    patch_size: int
    #: Micrometres per pixel of the network's input.
    mpp: float
    classes: tuple[str, ...] = ("background", "mitosis")
    #: The class whose probability is mapped.
    target: str = "mitosis"
    #: Where there are more of them: the classes that are mapped, `target` first.
    targets: tuple[str, ...] = ()
    #: "detection": peaks of the maps; or "segmentation": the class of every position, and areas.
    task: str = "detection"
    normalisation: Normalisation = field(default_factory=Normalisation)
    #: How the slide is continued past its true border ("reflect": mirrored, edge not repeated).
    border: str = "reflect"
    #: 8: the answers to a patch turned and mirrored in all ways are averaged, at eight times the cost.
    symmetries: int = 1
    #: Candidates of at least this score are seen a second time, their patches turned and mirrored in all ways, and take
    #: the mean of that for their score; the map does not. None: they are not.
    second_look: float | None = None
    #: Distance of two scanned positions, in pixels at `mpp`.
    stride: int = 4
    #: Detections have a smoothed probability of at least this.
    threshold: float = 0.5
    #: Of a segmentation by borders: the lower value of the map from which they enclose segments best; 0: `threshold`.
    border_threshold: float = 0.0
    #: Two detections are at least this far apart.
    radius_um: float = 7.5
    #: Radius of the disk that averages the map before peaks are sought.
    smoothing_um: float = 2.5
    #: Detections nearer than this to the slide's true border are marked and not counted.
    margin_um: float = 3.0
    calibration: Calibration = field(default_factory=Calibration)
    #: None: scores are compared with the threshold as they are.
    background: BackgroundCalibration | None = None
    #: How the slides looked that it was trained on. None: no slide is said to be unlike them.
    domain: Domain | None = None
    #: SHA-256 of the weights file, lower-case hex.
    sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    measured: tuple[Measurement, ...] = ()
    licence: str = ""
    intended_use: str = NOTICE
    limits: str = ""

    def __post_init__(self) -> None:
        """Refuse impossible values, naming them."""
        ways = 8 if self.is_equivariant else self.symmetries
        checks = {
            "patch_size": self.patch_size >= 1,
            "mpp": self.mpp > 0,
            "second_look": self.second_look is None
            or (0 <= self.second_look <= 1 and self.task == "detection" and ways == 1),
            "symmetries": self.symmetries == 1 or (self.symmetries == 8 and not self.is_equivariant),
            "stride": self.stride >= 1,
            "threshold": 0 <= self.threshold <= 1,
            "border_threshold": 0 <= self.border_threshold <= 1,
            "radius_um": self.radius_um > 0,
            "smoothing_um": self.smoothing_um >= 0,
            "margin_um": self.margin_um >= 0,
            "target": self.target in self.classes,
            "classes": len(self.classes) <= 255,
            "targets": set(self.targets) <= set(self.classes) and self.mapped[0] == self.target,
            "task": self.task in TASKS,
            "border": self.border == "reflect",
        }
        for key, holds in checks.items():
            if not holds:
                raise CardError(f"card of {self.name!r}: {key} = {getattr(self, key)!r} is impossible")
        check_normalisation(self.normalisation, self.name)

    @property
    def mapped(self) -> tuple[str, ...]:
        """The classes that have a map, each once; `target` is the first."""
        return tuple(dict.fromkeys(self.targets)) or (self.target,)

    @property
    def is_equivariant(self) -> bool:
        """True if the network says the same of a patch however it is turned or mirrored, which certificates show."""
        return self.architecture == "p4mnet"

    @property
    def target_index(self) -> int:
        """Index of `target` among the network's outputs."""
        return self.classes.index(self.target)


def check_normalisation(normalisation: Normalisation, name: str) -> None:
    """CardError if no pixels can be normalised so."""
    mean, std = normalisation.mean, normalisation.std
    if not mean or len(mean) != len(std) or min(std) <= 0:
        raise CardError(f"card of {name!r}: mean {mean} and std {std} are not one number, and one above 0, a channel")
    if normalisation.needs_statistics and len(mean) != STAINED_CHANNELS:
        raise CardError(
            f"card of {name!r}: normalisation by stain is for red, green and blue, not for {len(mean)} channels, which "
            'have no stain; set kind = "affine"'
        )


def card_from_toml(text: str) -> ModelCard:
    """The card written in `text`; CardError names what is missing or unknown."""
    try:
        fields = tomllib.loads(text)
        normalisation = fields.pop("normalisation", {})
        if normalisation:
            kind = NormalisationKind(normalisation["kind"])
            fields["normalisation"] = Normalisation(kind, tuple(normalisation["mean"]), tuple(normalisation["std"]))
        fields.setdefault("arguments", {})
        fields["calibration"] = Calibration(**fields.pop("calibration", {}))
        if "background" in fields:
            fields["background"] = BackgroundCalibration(**fields["background"])
        if "domain" in fields:
            fields["domain"] = domain_from_table(fields["domain"])
        fields["measured"] = tuple(_measurement(entry) for entry in fields.pop("measured", ()))
        fields["classes"] = tuple(fields.pop("classes", ModelCard.classes))
        fields["targets"] = tuple(fields.pop("targets", ()))
        return ModelCard(**fields)
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError) as error:
        raise CardError(f"model card: {error}") from error


def _measurement(entry: dict[str, Any]) -> Measurement:
    return Measurement(**entry | {"f1_interval": tuple(entry.get("f1_interval", ()))})


def card_to_toml(card: ModelCard) -> str:
    """`card` as TOML, in the order of its fields, tables last."""
    import tomli_w  # Here, so that a bare GPU machine with torch and numpy alone can still run a model.

    fields = asdict(card)
    fields["normalisation"]["kind"] = str(card.normalisation.kind)
    plain = {key: value for key, value in fields.items() if value is not None and not _is_table(value)}
    tables = {key: value for key, value in fields.items() if _is_table(value) and value}
    return tomli_w.dumps(plain | tables, multiline_strings=True)


def read_card(folder: Path) -> ModelCard:
    """The card in a model folder."""
    path = folder / CARD_NAME
    try:
        return card_from_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{folder} holds no {CARD_NAME}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelDamagedError(f"{path}: {error}") from error


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card` into a model folder."""
    (folder / CARD_NAME).write_text(card_to_toml(card), encoding="utf-8")


def with_weights(card: ModelCard, sha256: str) -> ModelCard:
    """`card`, bound to the weights file of that checksum."""
    return replace(card, sha256=sha256)


def with_choices(card: ModelCard, choices: dict[str, Any]) -> ModelCard:
    """`card` with other fields, given as its TOML has them; CardError names what it does not know."""
    import tomli_w

    return card_from_toml(tomli_w.dumps(tomllib.loads(card_to_toml(card)) | choices))


def _is_table(value: object) -> bool:
    if isinstance(value, dict):
        return True
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], dict)
