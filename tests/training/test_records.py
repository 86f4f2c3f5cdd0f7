from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.labels.fields import read_fields
from scanner.training.recipe import checkpoint_name
from scanner.training.records import COLUMNS, TrainingRecord, draw_curve, hash_fields, read_curve


def test_a_resumed_training_goes_on_with_its_curve(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path, steps=40)
    for step in (10, 20, 30):
        record.add((step, 1 / step, 0.1, 0))
    # Broken off at 30, resumed from a checkpoint at 15.
    resumed = TrainingRecord(tmp_path, steps=40)
    resumed.add((20, 0.5, 0.1, 3))
    assert read_curve(tmp_path / "training.csv") == [(10, 0.1, 0.1, 0), (20, 0.5, 0.1, 3)]
    resumed.finish()
    with Image.open(tmp_path / "training.png") as picture:
        assert np.asarray(picture).min() < 100


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_same_curve(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = [(10, 0.5, 0.1, 0), (20, 0.25, 0.05, 7), (30, 0.125, 0.025, 7)]
    record = TrainingRecord(tmp_path, steps=40)
    for row in (rows[0], (20, 3.0, 0.3, 3)):
        record.add(row)
    record.finish()
    resumed = TrainingRecord(tmp_path, steps=40)
    for row in rows[1:]:
        resumed.add(row)
    resumed.finish()
    board = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name, values in zip(COLUMNS[1:], list(zip(*rows, strict=True))[1:], strict=True):
        shown = [(event.step, event.value) for event in board.Scalars(name)]
        assert shown == [(row[0], pytest.approx(value)) for row, value in zip(rows, values, strict=True)]
    assert read_curve(tmp_path / "training.csv") == rows


def test_a_curve_falls_to_the_right() -> None:
    pixels = np.asarray(draw_curve([(0, 1.0, 0.1, 0), (50, 0.1, 0.1, 0), (100, 0.01, 0.1, 0)], steps=100))
    is_line = (pixels == (20, 80, 200)).all(axis=2)
    rows = [np.flatnonzero(is_line[:, col]).mean() for col in np.flatnonzero(is_line.any(axis=0))]
    assert (np.diff(rows) >= -1).all()
    assert rows[-1] - rows[0] > 300


def test_a_table_that_is_none_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text("what,is,this\n1,2,3\n")
    assert read_curve(tmp_path / "training.csv") == []


def test_the_hash_of_the_data_changes_with_any_label(data_folder: Path) -> None:
    fields = read_fields(data_folder / "fields", mpp=0.25)
    assert hash_fields(fields) == hash_fields(tuple(reversed(fields)))
    moved = replace(fields[0], points=fields[0].points + 0.5)
    other = replace(fields[0], case="Z")
    hashes = {hash_fields((one, *fields[1:])) for one in (fields[0], moved, other)}
    assert len(hashes) == 3


def test_another_recipe_has_another_checkpoint(small_recipe) -> None:
    assert checkpoint_name(small_recipe) == checkpoint_name(replace(small_recipe))
    assert checkpoint_name(small_recipe) != checkpoint_name(replace(small_recipe, steps=9))
