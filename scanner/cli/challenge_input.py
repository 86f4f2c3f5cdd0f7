"""What Grand-Challenge hands over: one image, and a model if one is mounted. Imports without torch."""

from __future__ import annotations

from pathlib import Path

from models.card import CARD_NAME
from scanner.errors import SlideNotFoundError

#: Where Grand-Challenge mounts the model that was uploaded with the algorithm.
MODEL_FOLDER = Path("/opt/ml/model")


def find_image(inputs: Path) -> Path:
    """The one file below `images/<slug>` of a folder of inputs.

    Raises
    ------
    SlideNotFoundError
        There is none, or there are several.
    """
    found = sorted(path for path in (inputs / "images").glob("*/*") if path.is_file() and path.name[0] != ".")
    if len(found) != 1:
        named = ", ".join(str(path.relative_to(inputs)) for path in found) or "none"
        raise SlideNotFoundError(f"{inputs}: needs one image in images/<slug>/, holds {named}")
    return found[0]


def mounted_model() -> str | None:
    """The model that Grand-Challenge has mounted, if it has."""
    return str(MODEL_FOLDER) if (MODEL_FOLDER / CARD_NAME).is_file() else None
