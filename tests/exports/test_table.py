import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.detections.detection import Detection
from scanner.exports.table import COLUMNS, write_table

LENGTHS = st.floats(-0.5, 3e5)
DETECTIONS = st.lists(
    st.builds(
        Detection,
        row=LENGTHS,
        col=LENGTHS,
        row_um=LENGTHS,
        col_um=LENGTHS,
        score=st.floats(0, 1, width=32),
        label=st.sampled_from(["mitosis", 'odd, "label"', "Zellkern \N{GREEK SMALL LETTER MU}"]),
        border=st.booleans(),
    ),
    max_size=8,
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_x_then_y_then_micrometres(tmp_path: Path) -> None:
    found = Detection(10.5, 20.25, 2.625, 5.0625, 0.5, "mitosis", True)
    write_table(tmp_path / "a.csv", [found])
    with (tmp_path / "a.csv").open(newline="") as file:
        header, line = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert line == ["20.250", "10.500", "5.062", "2.625", "0.5", "mitosis", "1", "", found.id]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # The file is written anew each time.
@given(DETECTIONS)
def test_detections_read_back(tmp_path: Path, detections: list[Detection]) -> None:
    write_table(tmp_path / "a.csv", detections)
    for found, written in zip(rows_of(tmp_path / "a.csv"), detections, strict=True):
        for column, name in (("y", "row"), ("x", "col"), ("y_um", "row_um"), ("x_um", "col_um")):
            assert float(found[column]) == pytest.approx(getattr(written, name), abs=0.0006)
        assert np.float32(found["score"]) == np.float32(written.score)
        assert (found["label"], found["border"]) == (written.label, str(int(written.border)))


def test_no_detections_is_a_table_with_a_header(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert rows_of(tmp_path / "a.csv") == []
