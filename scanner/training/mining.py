"""Hard-negative mining: false positives of the network in its own training fields."""

from __future__ import annotations

import numpy as np
from torch import nn

from scanner.labels.fields import LabelledField
from scanner.maps.peaks import find_peaks, suppress
from scanner.training.recipe import Recipe
from scanner.training.sampling import Place, TrainingSet
from scanner.training.scoring import fold_normalisation, score_field

#: Peaks with lower scores are no hard negatives.
FLOOR = 0.05


def mine(net: nn.Module, training_set: TrainingSet, recipe: Recipe, *, turn: int = 0) -> tuple[Place, ...]:
    """The best-scoring false peaks of wholly labelled training fields, at most `mined_per_field` of each.

    Every `mining_thinning`-th field is scanned, from another one on each `turn`; what was mined in the others stays.
    """
    net = fold_normalisation(net)
    scanned = list(training_set.pools.sizes)[turn % recipe.mining_thinning :: recipe.mining_thinning]
    places = [place for place in training_set.pools.places["mined"] if place.field not in set(scanned)]
    for index in scanned:
        field = training_set.fields[index]
        found = _false_peaks(net, field, training_set, index=index, recipe=recipe)
        places += [Place(index, row, col) for row, col in found[: recipe.mined_per_field]]
    return tuple(places)


def _false_peaks(
    net: nn.Module, field: LabelledField, training_set: TrainingSet, *, index: int, recipe: Recipe
) -> list[tuple[float, float]]:
    stride = recipe.network_stride
    stain = None if training_set.stains is None else training_set.stains.fields[index]
    scores = score_field(net, field.read(), recipe, stain=stain)
    kept = suppress(find_peaks(scores, floor=FLOOR), recipe.ignored_um / field.mpp / stride)
    # Points that readers disagreed about have a pool of their own; mining them again would weight them twice.
    known = field.labels
    found = [(peak.row * float(stride), peak.col * float(stride)) for peak in kept]
    if field.pixel_classes is not None:
        return [(row, col) for row, col in found if field.pixel_classes[int(row), int(col)] == 0]
    if not len(known):
        return found
    reach = recipe.ignored_um / field.mpp
    return [point for point in found if np.linalg.norm(known - point, axis=1).min() > reach]
