"""The available models, read from their cards alone: the API process loads neither networks nor torch."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import DEFAULT_MODEL
from models.card import CARD_NAME
from models.registry import file_sha256
from models.sources import CODE, FORMAT_OF, ZOO
from service.problems import ReportedError


class UnknownModelError(ReportedError, LookupError):
    """No model has this name."""

    problem_type = "model-not-found"


@dataclass(frozen=True)
class CatalogEntry:
    """An available model."""

    name: str
    folder: Path
    #: SHA-256 of the weights.
    sha256: str
    #: SHA-256 of the whole card: threshold, radius and calibration affect a result as the weights do.
    card_sha256: str
    mpp: float
    #: The whole card, as written.
    card: dict[str, Any]


class Catalog:
    """All models by name: the shipped ones, and those of one further folder."""

    def __init__(self, extra: Path | None, default: str | None) -> None:
        roots = [ZOO, *([extra] if extra else [])]
        entries = [read_entry(path) for root in roots for path in sorted(root.glob(f"*/{CARD_NAME}"))]
        # TorchScript is code: the service runs none that comes from outside.
        self.entries = {entry.name: entry for entry in entries if entry.card.get("architecture") not in CODE}
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
            raise UnknownModelError(f"no model {wanted!r}; available: {', '.join(self.entries) or 'none'}")
        return self.entries[wanted]


def read_entry(path: Path) -> CatalogEntry:
    """The model that a card describes."""
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    card_sha256 = hashlib.sha256(json.dumps(card, sort_keys=True, default=str).encode()).hexdigest()
    sha256 = card.get("sha256") or _weights_sha256(path.parent)
    return CatalogEntry(card["name"], path.parent, sha256, card_sha256, float(card["mpp"]), card)


def _weights_sha256(folder: Path) -> str:
    """That of the network file, whose checksum a card written by hand may leave out; empty if there is none."""
    files = (folder / known.name for known in FORMAT_OF.values())
    return next((file_sha256(path) for path in files if path.is_file()), "")
