"""What makes two models the same: weights, and everything that says how they are run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from models.card import ModelCard

#: Entries of a card that change what a patch is and what is said of it; the others only steer the scan or describe.
_CONTRACT = ("architecture", "arguments", "patch_size", "mpp", "classes", "target", "normalisation", "border", "sha256")


def contract_of(card: ModelCard) -> dict[str, Any]:
    """The card's entries that a model's answers depend on: its weights' checksum and its preprocessing."""
    fields = asdict(card)
    contract = {name: fields[name] for name in _CONTRACT}
    return contract if card.symmetries == 1 else contract | {"symmetries": card.symmetries}


def contract_sha256(card: ModelCard) -> str:
    """One checksum of weights and preprocessing, lower-case hex."""
    text = json.dumps(contract_of(card), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
