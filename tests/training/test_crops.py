from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.labels.fields import LabelledField, read_field
from scanner.training.crops import View, crop_targets, cut_crops, draw_view
from scanner.training.sampling import Place

SIDE = 61


@pytest.fixture
def dotted_field(tmp_path) -> LabelledField:
    """White, with a dark spot of 3 px."""
    rows, cols = np.mgrid[:140, :150]
    spot = np.exp(-((rows - 63.0) ** 2 + (cols - 88.0) ** 2) / 8)
    pixels = (255 - 255 * spot).astype(np.uint8)[..., None].repeat(3, axis=2)
    Image.fromarray(pixels).save(tmp_path / "dot.png")
    return LabelledField(Path(tmp_path / "dot.png"), "A", 0.25, np.array([[63.0, 88.0]]))


def test_an_upright_view_is_the_field_itself(dotted_field):
    crop = cut_crops([dotted_field], [View((60.0, 90.0), np.eye(2))], SIDE)[0].permute(1, 2, 0).numpy()
    expected = read_field(dotted_field.path)[30:91, 60:121]
    np.testing.assert_allclose(crop, expected, atol=1e-2)


def test_a_view_beyond_the_border_is_mirrored(dotted_field):
    crop = cut_crops([dotted_field], [View((5.0, 90.0), np.eye(2))], SIDE)[0].permute(1, 2, 0).numpy()
    mirrored = np.pad(read_field(dotted_field.path), ((40, 0), (0, 0), (0, 0)), mode="reflect")
    np.testing.assert_allclose(crop, mirrored[15:76, 60:121], atol=1e-2)


@pytest.mark.parametrize("seed", range(12))
def test_figures_go_where_their_pixels_go(dotted_field, small_recipe, seed):
    place = Place(0, 60.0, 85.0)
    view = draw_view(place, dotted_field, small_recipe, np.random.default_rng(seed))
    darkness = 255 - cut_crops([dotted_field], [view], SIDE)[0, 0].numpy()
    rows, cols = np.mgrid[:SIDE, :SIDE]
    seen = np.array([(darkness * rows).sum(), (darkness * cols).sum()]) / darkness.sum()
    told = (dotted_field.points[0] - view.centre) @ np.linalg.inv(view.matrix).T + (SIDE - 1) / 2
    np.testing.assert_allclose(seen, told, atol=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_views_keep_their_scale_range(dotted_field, small_recipe, seed):
    view = draw_view(Place(0, 60.0, 85.0), dotted_field, small_recipe, np.random.default_rng(seed))
    magnification = 1 / math.sqrt(abs(np.linalg.det(view.matrix)))
    low, high = small_recipe.augmentation.scale
    assert low <= magnification <= high


def test_targets_of_a_crop_on_a_figure_are_positive_in_the_middle(dotted_field, small_recipe):
    targets = crop_targets([dotted_field], [View((63.0, 88.0), np.eye(2))], small_recipe)
    assert targets.shape == (1, 3, 3)
    assert targets[0, 1, 1] == 1
