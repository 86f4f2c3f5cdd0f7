"""Matching rules of contests: how far from a figure a detection may lie to be right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """How far from a figure a detection may lie to be right."""

    name: str
    radius_um: float

    def __str__(self) -> str:
        return f"{self.name}: {self.radius_um:g} um, by falling score, each figure once"


MITOS12 = Rule("MITOS-12", 5.0)
MITOS14 = Rule("MITOS-14", 8.0)
MIDOG = Rule("MIDOG", 7.5)
RULES = {rule.name: rule for rule in (MITOS12, MITOS14, MIDOG)}
