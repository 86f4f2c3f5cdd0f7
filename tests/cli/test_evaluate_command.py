from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scanner.cli.app import app
from tests.evaluation.data_folders import save_with_folds, write_fields, write_figures, write_points


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A model with two folds, fields of two cases and a twin, cut-outs of three scanners, and points-only fields."""
    write_fields(tmp_path / "data", ["H03", "A03", "H04"])
    write_figures(tmp_path / "figures", ["one", "two", "three"])
    write_points(tmp_path / "points")
    save_with_folds(tmp_path / "model", [("H03", "one"), ("H04", "two")])
    return tmp_path


def evaluate(folder: Path, *options: str) -> tuple[str, str, dict[str, object]]:
    arguments = ["evaluate", str(folder / "model"), "--data", str(folder / "data"), "-o", str(folder / "out"), *options]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr, json.loads((folder / "out" / "evaluation.json").read_text())


def test_other_cases_scanners_and_organs_stand_in_the_report_and_are_printed(workplace: Path) -> None:
    figures, points = str(workplace / "figures"), str(workplace / "points")
    stdout, stderr, report = evaluate(workplace, "--figures", figures, "--points", points, "--points-mpp", "0.25")
    assert report["seen_in_training"] == []
    assert {name: one["slides"] for name, one in report["cut_out_figures"].items()} == {"one": 2, "two": 2}
    assert "all slides of these scanners were seen: three" in stderr
    assert (report["points_only"]["figures"], report["points_only"]["others"], report["points_only"]["fields"]) == (
        1,
        1,
        2,
    )
    assert report["intervals"]["groups"] == 2  # A03 and H03 are one patient.
    first, *lines = stdout.splitlines()
    assert first.startswith("MITOS-14: 8 um")
    assert first.endswith(f"threshold 0.500; {report['pooled']}")
    told = (
        "95 % intervals over 2 cases: f1 ",
        "worst case: ",
        "tissue without labels",
        "cut-out figures of one: recall",
    )
    for start in (
        *told,
        "cut-out figures of two",
        "labelled points, 1 figures and 1 other cells",
        "steadiest threshold",
    ):
        assert any(line.startswith(start) for line in lines), start


def test_the_mpp_of_points_is_said_where_it_is_assumed(workplace: Path) -> None:
    _, stderr, report = evaluate(workplace, "--points", str(workplace / "points"), "--no-folds")
    assert "--points-mpp" in stderr
    assert report["seen_in_training"] == ["A03", "H03", "H04"]
    assert report["unlabelled_tissue"]["unlabelled_mm2"] == 0
