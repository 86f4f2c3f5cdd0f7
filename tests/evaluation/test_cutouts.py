from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scanner.errors import SettingsError
from scanner.evaluation.cutouts import lay_out, score_cutouts
from scanner.evaluation.rules import MITOS14
from scanner.labels.fields import LabelledField, read_field
from tests.networks.small_models import dot_model, planted

SIDE = 60


def cut_out(folder, name, slide, scanner, *, places=((SIDE // 2, SIDE // 2),), side=SIDE):
    path = folder / f"{name}.png"
    Image.fromarray(planted(side, side, list(places))).save(path)
    return LabelledField(path, slide, 0.25, np.array([[(side - 1) / 2] * 2]), source=scanner)


def test_cut_outs_keep_their_pixels_and_their_middles(tmp_path):
    figures = [cut_out(tmp_path, str(index), "s", "x", places=[(20 + index, 30)]) for index in range(5)]
    canvas, centres = lay_out(figures)
    assert canvas.shape == (2 * SIDE, 3 * SIDE, 3)
    for one, (row, col) in zip(figures, centres, strict=True):
        top, left = round(row - (SIDE - 1) / 2), round(col - (SIDE - 1) / 2)
        np.testing.assert_array_equal(canvas[top : top + SIDE, left : left + SIDE], read_field(one.path))


def test_figures_are_counted_by_scanner_and_only_in_their_middle(tmp_path):
    far = ((8, 8),)  # 5.5 um from its corner, more than 7 um from the middle
    figures = [
        cut_out(tmp_path, "a", "slide1", "x"),
        cut_out(tmp_path, "b", "slide1", "x"),
        cut_out(tmp_path, "c", "slide2", "x", places=()),
        cut_out(tmp_path, "d", "slide1", "y", places=((SIDE // 2, SIDE // 2), *far)),
    ]
    x, y = score_cutouts(dot_model(), figures, MITOS14, device="cpu", tissue=False)
    assert (x.scanner, x.found, x.figures, x.slides) == ("x", 2, 3, 2)
    assert (y.scanner, y.found, y.figures, y.slides) == ("y", 1, 1, 1)
    assert x.recall == pytest.approx(2 / 3)


def test_cut_outs_of_two_sizes_in_one_slide_are_refused(tmp_path):
    figures = [cut_out(tmp_path, "a", "slide1", "x"), cut_out(tmp_path, "b", "slide1", "x", side=40)]
    with pytest.raises(SettingsError, match="slide1"):
        lay_out(figures)
