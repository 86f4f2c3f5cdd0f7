"""Laws of the fields that are cut around judged points."""

from __future__ import annotations

import csv
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scanner.labels.fields import read_fields
from scanner.labels.folder import LabelRules, read_labelled
from scanner.labels.judged import CELL_PX, HARD_NEGATIVE, IGNORED, MARGIN_PX, JudgedPoint, fields_around, tables_of

HEIGHT, WIDTH = 700, 1500
POINTS = st.lists(
    st.builds(
        JudgedPoint,
        st.integers(0, HEIGHT - 1).map(float),
        st.integers(0, WIDTH - 1).map(float),
        st.sampled_from(["mitosis", HARD_NEGATIVE, IGNORED]),
    ),
    max_size=12,
)


@given(POINTS)
def test_every_judged_point_lies_in_a_field_with_its_surroundings(points: list[JudgedPoint]) -> None:
    fields = fields_around(points, height=HEIGHT, width=WIDTH)
    for one in points:
        holding = [field for field in fields if one in field.points]
        if one.label != IGNORED:
            assert any(
                min(one.row - field.box.top, one.col - field.box.left) >= MARGIN_PX
                or field.box.top == 0
                or field.box.left == 0
                for field in holding
            )
        for field in fields:
            box = field.box
            is_inside = box.top <= one.row < box.bottom and box.left <= one.col < box.right
            assert is_inside is (one in field.points)
    assert all(any(one.label != IGNORED for one in field.points) for field in fields)
    assert all(max(field.box.height, field.box.width) <= CELL_PX + 2 * MARGIN_PX for field in fields)


def test_training_reads_what_the_tables_say(tmp_path) -> None:
    points = [JudgedPoint(30, 40, "mitosis"), JudgedPoint(60, 90.5, HARD_NEGATIVE), JudgedPoint(80, 20, IGNORED)]
    fields = fields_around(points, height=HEIGHT, width=WIDTH)
    (tmp_path / "images").mkdir()
    for name, text in tables_of((f"{n}.png", "case A", field) for n, field in enumerate(fields)).items():
        (tmp_path / name).write_text(text)
    for number, field in enumerate(fields):
        size = (field.box.width, field.box.height)
        Image.new("RGB", size, (200, 150, 180)).save(tmp_path / "images" / f"{number}.png")
    (found,) = read_labelled(tmp_path, LabelRules(0.25))
    assert found.case == "case A"
    np.testing.assert_array_equal(found.points, [[30, 40]])
    np.testing.assert_array_equal(found.disputed, [[60, 90.5]])
    np.testing.assert_array_equal(found.ignored, [[80, 20]])
    assert len(read_fields(tmp_path, mpp=0.25)) == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text())))
    assert [row["label"] for row in rows] == ["mitosis", IGNORED]
