"""Which folders are Zarr, told by the names of their files."""

from __future__ import annotations

import os
from pathlib import Path

#: A folder that holds one of these is Zarr's: version 3, then 2.
MARKS = ("zarr.json", ".zgroup", ".zarray")
#: The files in it that hold no pixels.
METADATA_NAMES = frozenset((*MARKS, ".zattrs", ".zmetadata"))


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any(os.path.isfile(path / mark) for mark in MARKS)  # Path.is_file raises where a folder may not be read.
