"""A scan that goes on from what an earlier, unfinished one has left: what must agree, and what it takes over."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from scanner.inference.form_choice import choose_scan_form
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scan_identity import plan_of_map
from scanner.settings import MAX_TILE_SIDE


def resume_plan(prepared: PreparedSlide, known: Any) -> PreparedSlide:
    """The slide with the tiles and the form of an unfinished scan, whose plan is `known`, if only these are others now.

    What a GPU has free, and which form is the fastest there, changes from run to run; what is scored already must not
    be lost by that. Where there is nothing to continue, the form is chosen now.
    """
    if not isinstance(known, dict):
        return choose_scan_form(prepared)
    resumed = _with_tiles_of(known, prepared)
    if _differs_in_form_alone(resumed, known):
        resumed = choose_scan_form(resumed, wanted=known.get("form"))
        if _plan(resumed) == known:
            return resumed
    return choose_scan_form(prepared)


def _with_tiles_of(known: dict[str, Any], prepared: PreparedSlide) -> PreparedSlide:
    side = known.get("tile_side")
    if prepared.settings.tile_size is not None or not isinstance(side, int) or not 1 <= side <= MAX_TILE_SIDE:
        return prepared
    return replace(prepared, tile_side=side)


def _differs_in_form_alone(prepared: PreparedSlide, known: dict[str, Any]) -> bool:
    return _plan(prepared) | {"form": known.get("form")} == known


def _plan(prepared: PreparedSlide) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(json.dumps(plan_of_map(prepared)))
    return plan
