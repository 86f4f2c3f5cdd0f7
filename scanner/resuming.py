"""A scan that goes on from what an earlier, unfinished one has left: what must agree, and what it takes over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from scanner.map_store import read_plan
from scanner.report import plan_of_map
from scanner.result import PreparedSlide
from scanner.settings import MAX_TILE_SIDE


def as_begun(prepared: PreparedSlide, work: Path) -> PreparedSlide:
    """The slide with the tiles of the unfinished scan in `work`, if only their side is not what would be chosen now.

    What a GPU has free changes from run to run; what is scored already must not be lost by that.
    """
    known = read_plan(work)
    side = known.get("tile_side") if isinstance(known, dict) and prepared.settings.tile_size is None else None
    if not isinstance(side, int) or not 1 <= side <= MAX_TILE_SIDE:
        return prepared
    begun = replace(prepared, tile_side=side)
    return begun if json.loads(json.dumps(plan_of_map(begun, side))) == known else prepared
