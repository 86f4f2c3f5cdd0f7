"""Maps of finished scans, without a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.geometry.frames import Box, Frame
from scanner.geometry.tiles import Tile
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.store import MapStore


def stored_map(folder: Path, frame: Frame, values: npt.NDArray[np.float32] | None = None) -> ProbabilityMap:
    """A map of those values, or of zeros, that lives in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    store = MapStore.open(folder, frame, chunk_side=64, plan={})
    if values is not None:
        whole = Box(0, 0, frame.map_height, frame.map_width)
        store.write(Tile(0, write=whole, read=whole), values[None], [])
    return ProbabilityMap(store)
