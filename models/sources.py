"""Where a model lies: a name of the zoo, a model folder, a WSInfer bundle, a network file with its card beside it.

Reads cards alone, so that a model that is not there is known before torch is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.card import CARD_NAME, ModelCard, card_from_toml, read_card
from models.errors import CardError, ModelNotFoundError
from models.importing.bundle import find_bundle, read_bundle_card

ZOO = Path(__file__).parent / "zoo"
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class FileFormat:
    """A kind of file that holds a network whole."""

    #: The card's `architecture`.
    architecture: str
    #: Its name in a model folder.
    name: str


#: By the suffix of the file.
FORMATS = {
    ".onnx": FileFormat("onnx", "model.onnx"),
    ".pt2": FileFormat("exported", "model.pt2"),
    ".pt": FileFormat("torchscript", "model.pt"),
}
FORMAT_OF = {known.architecture: known for known in FORMATS.values()}
#: Families of other libraries: their networks are adapted to the card.
FOREIGN = frozenset({"timm", "torchvision"})
#: Architectures whose files are code.
CODE = frozenset({"torchscript"})


@dataclass(frozen=True)
class Source:
    """A model that was found, not loaded yet."""

    card: ModelCard
    #: The file of its weights, or of the network as a whole.
    weights: Path

    @property
    def is_code(self) -> bool:
        """True if loading it runs code of its own."""
        return self.card.architecture in CODE


def find_source(name_or_path: str | Path) -> Source:
    """What `name_or_path` names.

    Raises
    ------
    ModelNotFoundError
        Nothing that is known; says what is.
    CardError
        A network file without a card; says how to write one.
    """
    path = Path(name_or_path)
    shipped = ZOO / path.name
    if isinstance(name_or_path, str) and path.name == name_or_path and shipped.is_dir():
        return _in_folder(shipped)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return _file(path)
    names = ", ".join(sorted(folder.parent.name for folder in ZOO.glob(f"*/{CARD_NAME}"))) or "none"
    raise ModelNotFoundError(f"model {str(name_or_path)!r} is neither a folder nor shipped (shipped: {names})")


def find_folder(name_or_path: str | Path) -> Path:
    """The folder that holds a model's card."""
    return find_source(name_or_path).weights.parent


def _in_folder(folder: Path) -> Source:
    bundle = find_bundle(folder)
    if bundle is not None and not (folder / CARD_NAME).exists():
        config, script = bundle
        return Source(read_bundle_card(config), script)
    card = read_card(folder)
    known = FORMAT_OF.get(card.architecture)
    return Source(card, folder / (known.name if known else WEIGHTS_NAME))


def _file(path: Path) -> Source:
    """A network file and the card beside it, of the same name with the suffix .toml."""
    known, card_path = FORMATS.get(path.suffix.lower()), path.with_suffix(".toml")
    if known is None:
        raise ModelNotFoundError(f"{path} is no model: pass a model folder, or a file of {', '.join(FORMATS)}")
    if not card_path.is_file():
        raise CardError(
            f"{path} does not say how it is to be run (mpp, patch size, classes, normalisation): "
            f"`mitoscan import {path.name} -o FOLDER` writes that down, or put it into {card_path.name}"
        )
    card = card_from_toml(card_path.read_text(encoding="utf-8"))
    if card.architecture != known.architecture:
        raise CardError(f"{card_path}: architecture = {card.architecture!r}, but {path.name} is {known.architecture!r}")
    return Source(card, path)
