"""Whether a slide looks like those that a model was trained on; what is said if it does not is decided here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.domain import Domain
from scanner.survey.appearance import STATISTICS

_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DomainCheck:
    """How far a slide is from those trained on, in standard deviations of their statistics taken together."""

    #: Mahalanobis distance.
    distance: float
    #: The greatest that is inside.
    limit: float
    is_outside: bool
    #: The slide's statistics, see `scanner.survey.appearance`.
    values: dict[str, float]
    #: What is unlike, and what to do; empty if the slide is inside.
    warning: str


def check_domain(domain: Domain, values: Mapping[str, float] | None) -> DomainCheck | None:
    """Compare a slide with those trained on; None if nothing was measured, or not what the card asks for.

    Parameters
    ----------
    domain : Domain
        Of the model's card.
    values : mapping of str to float, optional
        The slide's `measure_appearance`.
    """
    if values is None or not set(domain.names) <= set(values):  # The card is of a later version.
        return None
    logs = np.log([values[name] for name in domain.names])
    deviations = (logs - domain.mean) / domain.std
    distance = measure_distance(domain, logs)
    is_outside = distance > domain.limit
    warning = _warn(domain, logs, deviations) if is_outside else ""
    return DomainCheck(round(distance, 3), domain.limit, is_outside, dict(values), warning)


def measure_distance(domain: Domain, logs: Sequence[float] | _Values) -> float:
    """Mahalanobis distance of the logarithms of a slide's statistics, (n,), from those trained on."""
    deviations = (np.asarray(logs) - domain.mean) / domain.std
    squared = float(deviations @ np.linalg.solve(np.array(domain.correlation), deviations))
    return float(max(0.0, squared) ** 0.5)


def _warn(domain: Domain, logs: _Values, deviations: _Values) -> str:
    """The statistic that is furthest off, of those beyond all slides trained on if there are any."""
    beyond = (logs < np.log(domain.lowest)) | (logs > np.log(domain.highest))
    if beyond.any():
        chosen = int(np.argmax(np.where(beyond, np.abs(deviations), -1)))
        trained = f"trained on {domain.lowest[chosen]:.3g} to {domain.highest[chosen]:.3g}"
    else:
        # Each by itself is usual: the one that fits the others least, and what they let expect of it.
        inverse = np.linalg.inv(np.array(domain.correlation))
        misfits = inverse @ deviations / np.diagonal(inverse)
        chosen = int(np.argmax(np.abs(misfits) * np.sqrt(np.diagonal(inverse))))
        expected = np.exp(logs[chosen] - misfits[chosen] * domain.std[chosen])
        trained = f"in training about {expected:.3g} where the rest is as here"
    said = STATISTICS.get(domain.names[chosen], domain.names[chosen])
    return (
        f"the slide looks unlike the slides that this model was trained on: {said} is {np.exp(logs[chosen]):.3g}, "
        f"{trained}; its count may be wrong: check the detections on the overview, or train on slides like it"
    )
