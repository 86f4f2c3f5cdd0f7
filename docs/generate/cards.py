"""A page for each shipped model, from its card."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import models.card
from docs.generate.markdown import code, sentence, table
from models import DEFAULT_MODEL, ModelCard, list_models

#: What people read first is said apart, and what training notes of itself is in the card's file.
_APART = ("name", "version", "licence", "intended_use", "limits", "measured", "training", "arguments")
#: The page that says more of a model.
_MORE = {"membrane-1": "membrane.md"} | dict.fromkeys(("mitosis-1", "mitosis-2", "dannet-2013"), "detector.md")


def card_pages() -> dict[str, str]:
    """The pages by their place in the site."""
    return {f"reference/models/{card.name}.md": _page(card) for card in list_models()}


def _page(card: ModelCard) -> str:
    rows = [
        [code(field.name), code(_text(getattr(card, field.name))), sentence(_meanings().get(field.name, ""))]
        for field in fields(card)
        if field.name not in _APART
    ]
    default = " It is the model that is used unless another one is named." if card.name == DEFAULT_MODEL else ""
    parts = [
        f"# {card.name} {card.version}\n",
        f"This page is generated from the model's card, `models/zoo/{card.name}/card.toml`.{default}\n",
        f"**{card.intended_use}** {card.licence}\n",
        f"**Limits.** {card.limits}\n" if card.limits else "",
        f"[How the model was made and measured](../../{_MORE[card.name]})\n" if card.name in _MORE else "",
        _measured(card),
        "## Fields of the card\n",
        table(["field", "value", "meaning"], rows),
        "## The network\n",
        f"`{card.architecture}` with\n",
        table(["argument", "value"], [[code(key), code(value)] for key, value in card.arguments.items()]),
    ]
    return "\n".join(part for part in parts if part)


def _measured(card: ModelCard) -> str:
    if not card.measured:
        return ""
    rows = [
        [row.data, row.rule, f"{row.f1:.3f}", " to ".join(f"{bound:.3f}" for bound in row.f1_interval),
         f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.threshold:.3f}"]
        for row in card.measured
    ]  # fmt: skip
    head = ["fields", "matching rule", "F1", "95 % interval", "precision", "recall", "threshold"]
    return f"## Measured\n\n{table(head, rows)}"


def _meanings() -> dict[str, str]:
    """The comments above the fields of ModelCard, by the field's name."""
    source = Path(models.card.__file__).read_text(encoding="utf-8").partition("class ModelCard:")[2]
    found = re.findall(r"((?: {4}#:? .*\n)+) {4}(\w+): ", source)
    return {name: " ".join(line.strip().lstrip("#: ") for line in said.splitlines()) for said, name in found}


def _text(value: Any) -> str:
    if value is None or value in ("", (), {}):
        return ""
    if hasattr(value, "__dataclass_fields__"):
        return ", ".join(f"{key} = {_text(item)}" for key, item in asdict(value).items() if item is not None)
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return str(value)
