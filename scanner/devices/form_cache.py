"""The file of what each form took on a GPU, so that the next scan need not measure: forms.json."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scanner.dense.native.library import user_cache
from scanner.devices.gpu_forms import GpuForm


def cache_folder() -> Path:
    """Where measurements are kept."""
    return user_cache()


def read_seconds(folder: Path) -> dict[str, dict[str, float]]:
    """Seconds of each form, by key; nothing where there is no file, and no entry that is none of ours."""
    try:
        kept: Any = json.loads((folder / "forms.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: entry for key, entry in kept.items() if _is_ours(entry)} if isinstance(kept, dict) else {}


def keep_seconds(folder: Path, key: str, seconds: Mapping[str, float]) -> None:
    """Add a measurement to the file; where that cannot be written, the next process measures again."""
    kept = read_seconds(folder) | {key: dict(seconds)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False, encoding="utf-8") as file:
            json.dump(kept, file, indent=1, sort_keys=True)
        os.replace(file.name, folder / "forms.json")  # Whole, whoever reads or writes at the same time.
    except OSError:
        return


def _is_ours(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and len(entry) > 0
        and all(form in list(GpuForm) and isinstance(taken, float) for form, taken in entry.items())
    )
