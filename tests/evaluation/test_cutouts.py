from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.card import Calibration
from scanner.errors import SettingsError
from scanner.evaluation.cutouts import ScoredCutouts, lay_out, score_cutouts, score_unseen_cutouts
from scanner.evaluation.rules import MITOS14
from scanner.labels.fields import LabelledField, read_field
from tests.evaluation.test_folds import trained
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
    scored = score_cutouts(dot_model(), figures, MITOS14, device="cpu", tissue=False)
    x, y = (one.found_at(dot_model().card.threshold) for one in scored)
    assert (x.scanner, x.found, x.figures, x.slides) == ("x", 2, 3, 2)
    assert (y.scanner, y.found, y.figures, y.slides) == ("y", 1, 1, 1)
    assert x.recall == pytest.approx(2 / 3)


def of_scanners(folder, slides):
    """One figure of each slide, three scanners in turn."""
    return [cut_out(folder, f"{name}{slide}", str(slide), name) for name in "xyz" for slide in range(slides)]


def unseen(model, folds, figures):
    scored = score_unseen_cutouts(model, folds, figures, MITOS14, device="cpu", tissue=False)
    return {one.scanner: len(one.slides) for one in scored}


def test_scanners_that_folds_held_out_are_scored_whole_by_those_folds_and_others_not(tmp_path):
    figures = of_scanners(tmp_path, 3)
    blind = trained("blind", ["B"], ["A", "x"])
    blind = replace(blind, card=replace(blind.card, calibration=Calibration(bias=30.0)))
    folds = (blind, trained("seeing", ["A"], ["B", "y"]))
    x, y = score_unseen_cutouts(trained("whole", ["A", "B"]), folds, figures, MITOS14, device="cpu", tissue=False)
    assert [(one.scanner, len(one.slides)) for one in (x, y)] == [("x", 3), ("y", 3)]
    assert (x.found_at(0.3).recall, y.found_at(0.3).recall) == (0, 1)


def test_without_such_folds_the_slides_count_that_the_training_held_out_or_all(tmp_path):
    figures = of_scanners(tmp_path, 3)
    folds = [trained("fold", ["B"], ["A"])]
    whole = trained("whole", ["A", "B"])
    assert unseen(whole, folds, figures) == {"x": 3, "y": 3, "z": 3}
    thinned = replace(whole, card=replace(whole.card, training=whole.card.training | {"figures_held_out": 3}))
    assert unseen(thinned, folds, figures) == {"x": 1, "y": 1, "z": 1}


@given(st.lists(st.lists(st.sampled_from([0.0, 0.2, 0.6]), min_size=1, max_size=4), min_size=1, max_size=4))
def test_recall_and_its_interval_are_those_of_the_slides(slides):
    found = ScoredCutouts("x", tuple(np.array(one) for one in slides)).found_at(0.5)
    every = [score for one in slides for score in one]
    assert (found.found, found.figures, found.slides) == (every.count(0.6), len(every), len(slides))
    recalls = [one.count(0.6) / len(one) for one in slides]
    low, high = found.recall_interval
    assert min(recalls) - 1e-9 <= low <= high <= max(recalls) + 1e-9


def test_cut_outs_of_two_sizes_in_one_slide_are_refused(tmp_path):
    figures = [cut_out(tmp_path, "a", "slide1", "x"), cut_out(tmp_path, "b", "slide1", "x", side=40)]
    with pytest.raises(SettingsError, match="slide1"):
        lay_out(figures)
