"""The models a client may name, read from their cards alone: the API process never loads a network (nor torch)."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: The shipped model that is used where none is named; equal to models.DEFAULT_MODEL.
DEFAULT_MODEL = "mitosis-1"
CARD = "card.toml"
#: Weights whose checksum a card written by hand may leave out.
_WEIGHTS = ("model.onnx", "model.pt2")


class UnknownModelError(LookupError):
    """No model has this name."""


@dataclass(frozen=True)
class CatalogEntry:
    """A model as the service offers it."""

    name: str
    folder: Path
    #: Of the weights.
    sha256: str
    #: Of all that the card says: threshold, radius and calibration change a result as the weights do.
    card_sha256: str
    mpp: float
    #: The whole card, as written.
    card: dict[str, Any]


class Catalog:
    """All models by name: the shipped ones, and those of one further folder."""

    def __init__(self, extra: Path | None, default: str | None) -> None:
        roots = [_zoo(), *([extra] if extra else [])]
        entries = [read_entry(path) for root in roots for path in sorted(root.glob(f"*/{CARD}"))]
        # TorchScript is code: the service runs none that it is handed.
        self.entries = {entry.name: entry for entry in entries if entry.card.get("architecture") != "torchscript"}
        self._default = default

    @property
    def default(self) -> str:
        """Name of the model that is used where none is named."""
        if self._default:
            return self._default
        return DEFAULT_MODEL if DEFAULT_MODEL in self.entries else next(iter(self.entries), DEFAULT_MODEL)

    def find(self, name: str | None) -> CatalogEntry:
        """The model of that name, or the default one."""
        wanted = name or self.default
        if wanted not in self.entries:
            raise UnknownModelError(f"model {wanted!r} is not offered; offered: {', '.join(self.entries) or 'none'}")
        return self.entries[wanted]


def _zoo() -> Path:
    spec = find_spec("models")  # Finds the package without importing it.
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "zoo"


def read_entry(path: Path) -> CatalogEntry:
    """The model of a card."""
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    card_sha256 = hashlib.sha256(json.dumps(card, sort_keys=True, default=str).encode()).hexdigest()
    sha256 = card.get("sha256") or _weights_sha256(path.parent)
    return CatalogEntry(card["name"], path.parent, sha256, card_sha256, float(card["mpp"]), card)


def _weights_sha256(folder: Path) -> str:
    for path in (folder / name for name in _WEIGHTS):
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
