"""Certificates of models: beside the model, or in the user's cache where that cannot be written; made at first use."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from models.identity import contract_sha256
from models.registry import CERTIFICATE_NAME, Model
from models.sources import ZOO
from scanner.dense.certify import certify, describe_certificate, sample_effort
from scanner.dense.native.library import user_cache
from scanner.errors import OutputError
from scanner.files.run_report import write_report

#: Certificates of this process, by network: a batch does not read or make them for each slide.
_KNOWN: WeakKeyDictionary[nn.Module, tuple[str, dict[str, Any]]] = WeakKeyDictionary()


def certificate_for(model: Model, stride: int) -> dict[str, Any]:
    """The model's certificate, as run.json names it; a model without one is certified on a small sample first.

    Parameters
    ----------
    model : Model
    stride : int
        Scan stride in grid pixels, for the sample.
    """
    contract = contract_sha256(model.card)
    known = _KNOWN.get(model.net)
    if known is not None and known[0] == contract:
        return known[1]
    content = _find(model, contract)
    if content is None:
        content = describe_certificate(model, certify(model, sample_effort(stride)))
        if model.folder is not None:
            _keep_sample(model, contract, content)
    named = _named(content)
    _KNOWN[model.net] = contract, named
    return named


def describe_in_words(content: dict[str, Any]) -> str:
    """One line on what a certificate says."""
    differences = ", ".join(f"{dtype} {value:.0e}" for dtype, value in content["max_difference"].items())
    verdict = "exact" if content["is_exact"] else "NOT exact"
    line = f"{verdict}, {content['runs']}; {content['positions']} positions, largest difference: {differences}"
    refused = content["first_inexact_layer"]
    if refused is not None:
        line = f"{line}; first inexact layer {refused['layer']!r}: {refused['reason']}"
    left = content.get("not_run", ())  # Certificates of older versions do not say.
    return "; ".join([line, *(f"not run: {one['what']} ({one['why']})" for one in left)])


def cache_folder() -> Path:
    """Where certificates of models are kept that lie in folders that cannot be written."""
    return user_cache() / "certificates"


def keep_certificate(model: Model, content: dict[str, Any]) -> Path:
    """Write a certificate beside its model, or, where that is not possible, into the cache; returns where."""
    for path in _places(model, contract_sha256(model.card)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_report(path, content)
        except OSError:
            continue
        return path
    raise OutputError(f"no certificate can be written beside {model.card.name}, nor in {cache_folder()}; pass --out")


def _places(model: Model, contract: str) -> list[Path]:
    """Where a certificate may lie, best first."""
    assert model.folder is not None
    return [model.folder / CERTIFICATE_NAME, cache_folder() / f"{contract}.json"]


def _find(model: Model, contract: str) -> dict[str, Any] | None:
    """A certificate of just this model."""
    if model.folder is None:
        return None
    for path in _places(model, contract):
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["model"]["contract_sha256"] == contract:
                return content
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _keep_sample(model: Model, contract: str, content: dict[str, Any]) -> None:
    """Write it where that is possible; a scan does not fail for want of it, and leaves shipped models as they are."""
    for path in _places(model, contract):
        if not path.is_relative_to(ZOO):
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_report(path, content)
                return


def _named(content: dict[str, Any]) -> dict[str, Any]:
    """A certificate by its content, wherever it lies: the first scan of a model says what later ones say."""
    text = json.dumps(content, sort_keys=True)
    named = {key: content[key] for key in ("is_exact", "runs", "positions", "max_difference")}
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), **named}
