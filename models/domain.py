"""Domain: how the slides looked that a model was trained on, as a table of its card.

A slide far off is unlike all of them: its scores mean less there, whatever they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import CardError

Row = tuple[float, ...]


@dataclass(frozen=True)
class Domain:
    """Means and covariance of the statistics of slides, and how far off a slide is too far."""

    #: What is measured (`scanner.survey.appearance`), n names.
    names: tuple[str, ...]
    #: Means over cases and scanners, (n,).
    mean: Row
    #: Spread within and between cases and scanners, (n,).
    std: Row
    #: Correlations of the statistics, (n, n).
    correlation: tuple[Row, ...]
    #: Least and greatest value of all fields trained on, (n,) each.
    lowest: Row
    highest: Row
    #: A slide whose Mahalanobis distance from `mean` is greater lies outside.
    limit: float

    def __post_init__(self) -> None:
        """Refuse tables that do not fit one another."""
        count = len(self.names)
        rows = (self.mean, self.std, self.correlation, self.lowest, self.highest, *self.correlation)
        if not count or any(len(row) != count for row in rows) or min(self.std) <= 0 or self.limit <= 0:
            raise CardError(f"[domain] needs, of each of its {count} statistics, a mean, a std above 0 and the rest")


def domain_from_table(table: Mapping[str, Any]) -> Domain:
    """The domain written as a table of TOML."""
    rows: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Domain(**rows | {"correlation": tuple(tuple(row) for row in table["correlation"])})
