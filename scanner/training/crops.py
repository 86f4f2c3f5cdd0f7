"""Crops: a batch of rotated, scaled and mirrored windows around places, with the targets of their outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from scanner.geometry.frames import mirrored
from scanner.labels.fields import LabelledField
from scanner.labels.targets import IGNORED, make_targets, output_centres, sample_classes
from scanner.training.recipe import Recipe
from scanner.training.sampling import Place

#: Cut-out figures are turned this far at most: their corners would have to be invented.
CUTOUT_TURN = math.radians(15)


@dataclass(frozen=True)
class View:
    """The window that a crop shows: crop pixel -> level-0 pixel is `centre + matrix @ (pixel - crop centre)`."""

    centre: tuple[float, float]
    matrix: npt.NDArray[np.float64]  # (2, 2), on (row, col)


def draw_view(place: Place, field: LabelledField, recipe: Recipe, rng: np.random.Generator) -> View:
    """A random view of `place`: jitter, quarter turns, mirror, free rotation, magnification."""
    settings = recipe.augmentation
    low, high = np.log(settings.scale)
    pixels = recipe.mpp / field.mpp / math.exp(rng.uniform(low, high))  # Level-0 pixels per crop pixel.
    free = rng.uniform(-CUTOUT_TURN, CUTOUT_TURN) if field.source else rng.uniform(0, math.pi / 2)
    angle = rng.integers(4) * math.pi / 2 + free
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mirror = np.diag([1.0, rng.choice([-1.0, 1.0])])
    row, col = rng.uniform(-settings.jitter_px, settings.jitter_px, 2) * pixels
    return View((place.row + row, place.col + col), pixels * turn @ mirror)


def cut_crops(fields: Sequence[LabelledField], views: Sequence[View], size: int) -> Tensor:
    """The views, resampled bilinearly: float32 (N, C, size, size) of levels 0 to 255."""
    reach = max(float(np.abs(view.matrix).sum(axis=1).max()) for view in views)
    side = math.ceil(size * reach) + 4
    windows = np.stack([_cut_window(f.read(), v, side) for f, v in zip(fields, views, strict=True)])
    thetas = np.stack([_theta(view, size=size, side=side) for view in views])
    images = torch.from_numpy(windows).permute(0, 3, 1, 2).float()  # (N, C, side, side)
    shape = [*images.shape[:2], size, size]
    grid = F.affine_grid(torch.from_numpy(thetas).float(), shape, align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_targets(fields: Sequence[LabelledField], views: Sequence[View], recipe: Recipe) -> Tensor:
    """Targets of every output of the crops: int64 (N, outputs, outputs)."""
    centres = output_centres(recipe.outputs, patch_size=recipe.patch_size, stride=recipe.network_stride)
    middle = (recipe.crop_size - 1) / 2
    rings = {"positive_px": recipe.positive_um / recipe.mpp, "ignored_px": recipe.ignored_um / recipe.mpp}
    targets = []
    for field, view in zip(fields, views, strict=True):
        if field.pixel_classes is not None:
            targets.append(_pixel_targets(field.pixel_classes, view, centres - middle))
            continue
        places = np.concatenate([field.points, field.ignored])
        points = (places - np.array(view.centre)) @ np.linalg.inv(view.matrix).T + middle
        targets.append(make_targets(points, centres, kinds=_kinds(field), **rings))
    return torch.from_numpy(np.stack(targets))


def _kinds(field: LabelledField) -> npt.NDArray[np.int64]:
    """Class of each figure, and IGNORED for each point to be ignored after them."""
    kinds = np.ones(len(field.points), np.int64) if field.kinds is None else field.kinds
    return np.append(kinds, np.full(len(field.ignored), IGNORED))


def _pixel_targets(
    pixel_classes: npt.NDArray[np.uint8], view: View, offsets: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Class at each output of a crop, whose centres lie at these offsets from its own, down and across."""
    matrix, (row, col) = view.matrix, view.centre
    down, across = offsets[:, None], offsets[None, :]  # (outputs, 1), (1, outputs)
    rows, cols = (matrix[axis, 0] * down + matrix[axis, 1] * across for axis in (0, 1))
    return sample_classes(pixel_classes, row + rows, col + cols)


def _cut_window(pixels: npt.NDArray[np.uint8], view: View, side: int) -> npt.NDArray[np.uint8]:
    rows, cols = (_window_index(round(c) - side // 2, side, n) for c, n in zip(view.centre, pixels.shape, strict=False))
    return pixels[rows][:, cols]


def _window_index(start: int, count: int, size: int) -> npt.NDArray[np.int64] | slice:
    if start >= 0 and start + count <= size:
        return slice(start, start + count)  # a view, where the window lies within the field
    return mirrored(start, start + count, size)


def _theta(view: View, *, size: int, side: int) -> npt.NDArray[np.float64]:
    # affine_grid speaks (x, y) from -1 to 1 over the window, whose pixel `side // 2` lies at the rounded centre.
    matrix = view.matrix[::-1, ::-1] * size / side
    rest = np.array([c - round(c) for c in view.centre])[::-1]
    shift = (rest + side // 2 - (side - 1) / 2) * 2 / side
    return np.concatenate([matrix, shift[:, None]], axis=1)
