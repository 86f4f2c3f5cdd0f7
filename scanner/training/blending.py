"""Blending: a place of one field in the tissue of another, so that surroundings do not tell which places are figures.

Cut-outs are all figures, and all from other scanners than the fields: a network could learn the scanner. Blended, the
figures of cut-outs lie in the tissue of fields, and other places of fields lie in the tissue of cut-outs, in its stain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scanner.labels.fields import LabelledField, shape_of_field
from scanner.training.augment import StainChange, change_stain
from scanner.training.crops import View, cut_crops, draw_view
from scanner.training.recipe import Recipe
from scanner.training.sampling import Place, Pools, TrainingSet, draw_tissue
from scanner.training.stain import Array, Stain, exchange_matrix

#: Radius of the disk that is kept of a place, and width of its soft edge, micrometres; a cut-out's figure fits in it.
RADIUS_UM, EDGE_UM = (6.0, 8.0), 1.5


@dataclass(frozen=True)
class Host:
    """Tissue that a place is blended into."""

    place: Place
    view: View


def draw_host(
    place: Place, view: View, fields: Sequence[LabelledField], pools: Pools, recipe: Recipe, rng: np.random.Generator
) -> Host | None:
    """Other tissue for the surroundings of a place, by chance; None: it keeps its own.

    That of a cut-out is anywhere in a field, that of a place in a field is around a cut-out figure, which the place
    covers. A cut-out smaller than the crop has no surroundings of its own.
    """
    field, settings = fields[place.field], recipe.augmentation
    is_cutout = bool(field.source)
    chance = settings.blend_figures if is_cutout else settings.blend
    if is_cutout and is_small(field, recipe):
        chance = 1.0
    if rng.random() >= chance:
        return None
    others = pools.places["cutouts"]
    if not is_cutout and not others:
        return None
    other = draw_tissue(pools, rng) if is_cutout else others[int(rng.integers(len(others)))]
    if not is_cutout and is_small(fields[other.field], recipe):
        return None
    own = draw_view(other, fields[other.field], recipe, rng)
    # The host's place lies where the crop has its own: the disk covers it.
    row, col = np.array([other.row, other.col]) - own.matrix @ _offset(place, view)
    return Host(other, replace(own, centre=(float(row), float(col))))


def is_small(field: LabelledField, recipe: Recipe) -> bool:
    """True if a crop reaches over the edges of a cut-out."""
    return _side_um(field) < recipe.patch_size * recipe.mpp


def _side_um(field: LabelledField) -> float:
    return min(shape_of_field(field.path, field.channels)) * field.mpp


def blend(
    crops: Tensor,
    places: Sequence[Place],
    views: Sequence[View],
    hosts: Sequence[Host | None],
    training_set: TrainingSet,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Tensor:
    """The crops (N, 3, S, S), each with the surroundings of its host, if it has one."""
    chosen = [index for index, host in enumerate(hosts) if host is not None]
    if not chosen:
        return crops
    assert training_set.stains is not None
    fields, stains = training_set.fields, training_set.stains.fields
    kept = [host for host in hosts if host is not None]
    around = cut_crops([fields[host.place.field] for host in kept], [host.view for host in kept], crops.shape[2])
    pairs = zip((places[index].field for index in chosen), (host.place.field for host in kept), strict=True)
    own = change_stain(crops[chosen], [to_stain(stains[one], stains[other]) for one, other in pairs])
    disks = [_disk(places[index], views[index], fields[places[index].field], recipe, rng) for index in chosen]
    blended = crops.clone()
    blended[chosen] = around + torch.stack(disks)[:, None] * (own - around)
    return blended


def to_stain(own: Stain, host: Stain) -> StainChange:
    """What turns one stain into the other."""
    matrix = exchange_matrix(own, host)
    return StainChange(matrix, host.mean - matrix @ own.mean, host.mean, host.std)


def _disk(place: Place, view: View, field: LabelledField, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """Share of the place in each pixel of its crop, (S, S): 1 on it, 0 far from it."""
    middle = (recipe.crop_size - 1) / 2
    row, col = _offset(place, view) + middle
    at = torch.arange(recipe.crop_size)
    distance = torch.hypot(at[:, None] - row, at[None] - col) * recipe.mpp
    radius = rng.uniform(*RADIUS_UM)
    if field.source:  # No more of a cut-out than there is.
        radius = min(radius, _side_um(field) / 2 - EDGE_UM / 2)
    return ((radius - distance) / EDGE_UM + 0.5).clamp(0, 1).float()


def _offset(place: Place, view: View) -> Array:
    """Crop pixels from the crop's centre to the place, (row, col)."""
    return np.asarray(np.linalg.solve(view.matrix, np.array([place.row, place.col]) - view.centre), np.float64)
