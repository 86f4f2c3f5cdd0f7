"""The protocol of transfer: models are scored once, and rows sum up their seeds."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import transfer, transfer_rows
from tests.evaluation.data_folders import save_with_folds, write_fields, write_figures, write_points

FOLDS = [("H03", "one"), ("H04", "two")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_fields(tmp_path / "data" / transfer.FIELDS, ["H03", "H04"])
    write_fields(tmp_path / "data" / transfer.TWINS, ["A03"])
    write_figures(tmp_path / "data" / transfer.FIGURES, ["one", "two"])
    write_points(tmp_path / "data" / transfer.POINTS)
    return tmp_path / "data"


def scored(rights, *, recalls, f1, minutes=None):
    """A report of cases with 10 figures each, `rights` of them found, and 5 wrong detections."""
    cases = {
        name: {"right": right, "wrong": 5, "figures": 10, "f1": 2 * right / (right + 15)}
        for name, right in rights.items()
    }
    report = {
        "thresholds_of_other_cases": {"f1": f1, "cases": cases},
        "cut_out_figures": {name: {"recall": recall} for name, recall in recalls.items()},
        "pooled": {"average_precision": 0.5},
        "points_only": {"average_precision": 0.3, "unlabelled_per_mm2": 4.0},
        "unlabelled_tissue": {"unlabelled_per_mm2": 2.0},
        "seen_in_training": [],
    }
    second = {"pooled": {"f1": 0.6}}
    return {
        "report": report,
        "second_scanner": second,
        "scanners_left_out": True,
        "flops_per_px": 20_000.0,
        "minutes": minutes,
    }


def test_a_row_sums_up_its_seeds():
    seeds = [
        scored({"H03": 5, "H04": 5}, recalls={"x": 0.4, "y": 0.8}, f1=0.5, minutes=10),
        scored({"H03": 9, "H04": 9}, recalls={"x": 0.8, "y": 0.2}, f1=0.75, minutes=20),
    ]
    row = transfer.summarise(seeds)
    assert (row["seeds"], row["f1"], row["f1_spread"]) == (2, 0.625, 0.25)
    # Each seed finds the same share of every case, so that resampling cases changes nothing.
    assert row["f1_interval"] == pytest.approx([(0.5 + 0.75) / 2] * 2)
    assert row["worst_case_f1"] == pytest.approx((0.5 + 0.75) / 2)
    assert row["worst_scanner_recall"] == pytest.approx(0.3)
    assert row["mean_scanner_recall"] == pytest.approx(0.55)
    assert (row["minutes"], row["kflops_per_px"]) == (15, 20)
    _, _, line = transfer.table({"small": row})
    assert line.startswith("| small | 2 | 0.625 (0.250) | 0.625 to 0.625 |")
    assert line.count("|") == len(transfer.COLUMNS) + 1


def test_each_row_is_the_row_before_with_something_changed():
    recipes = list(transfer_rows.rows(steps=7).values())
    assert all(one != two for one, two in pairwise(recipes))
    for recipe in recipes:
        assert {recipe.fold(cases).steps for cases in recipe.folds} == {7}
        cases = [name for cases in recipe.folds for name in cases if name.startswith("H")]
        assert sorted(cases) == ["H03", "H04", "H07", "H11", "H12", "H15", "H17"]


def test_rows_are_trained_once_and_scored(tmp_path: Path, data: Path, monkeypatch, capsys):
    trained = []

    def train(recipe, data, folder, **_):
        trained.append((folder, recipe.seed))
        save_with_folds(folder, FOLDS, seed=recipe.seed)

    monkeypatch.setattr(transfer_rows, "train", train)
    arguments = ["--out", str(tmp_path / "runs"), "--data", str(data), "--results", str(tmp_path), "--train"]
    monkeypatch.setattr(sys, "argv", ["transfer", *arguments, "--only", "and twins", "--seeds", "3", "4"])
    for _ in range(2):
        transfer.main()
    row = tmp_path / "runs" / "and-twins"
    assert trained == [(row / "s3", 3), (row / "s4", 4)]
    assert "| and-twins | 2 |" in capsys.readouterr().out


def test_cases_of_one_patient_are_resampled_together():
    apart = transfer.summarise([scored({"H03": 0, "H04": 10}, recalls={"x": 1}, f1=0.5)])["f1_interval"]
    assert apart[0] == 0
    together = transfer.summarise([scored({"H03": 0, "A03": 10}, recalls={"x": 1}, f1=0.5)])["f1_interval"]
    assert together[0] == together[1] > 0


def test_the_command_scores_each_model_once(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        save_with_folds(tmp_path / "runs" / "small" / f"s{seed}", FOLDS, seed=10 * seed)
    (tmp_path / "runs" / "small" / "s2").mkdir()
    arguments = ["--out", str(tmp_path / "runs"), "--data", str(data), "--results", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", ["transfer", *arguments, "--device", "cpu"])
    transfer.main()
    said = capsys.readouterr()
    assert said.err.count("scoring") == 2
    assert "s2: not finished" in said.err
    assert (tmp_path / "results" / "transfer.md").read_text() == said.out
    row = json.loads((tmp_path / "results" / "transfer.json").read_text())["rows"]["small"]
    assert (row["seeds"], row["scanners_left_out"], row["seen_in_training"]) == (2, True, [])
    shutil.rmtree(data)  # Nothing is read again.
    transfer.main()
    again = capsys.readouterr()
    assert (again.out, again.err.count("scoring")) == (said.out, 0)


def test_other_weights_are_scored_again(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_with_folds(tmp_path / "model", FOLDS)
    first = transfer.score_model(folder, data, device="cpu")
    save_with_folds(folder, FOLDS, seed=7)
    second = transfer.score_model(folder, data, device="cpu")
    assert first["of"]["sha256"] != second["of"]["sha256"]
    assert capsys.readouterr().err.count("scoring") == 2
