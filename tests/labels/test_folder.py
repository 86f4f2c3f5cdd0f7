from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import SettingsError
from scanner.labels.folder import LabelRules, read_labelled
from scanner.labels.shapes import Mark, centre_of_ring, paint_marks
from tests.labels import label_folders as forms
from tests.labels.label_folders import CLASSES, FIGURES, SHAPE

POINTS = LabelRules(0.5, CLASSES)
PIXELS = LabelRules(0.5, CLASSES, "segmentation")
WRITERS = {
    "csv": forms.write_points,
    "qupath points": forms.write_qupath,
    "qupath outlines": lambda folder: forms.write_qupath(folder, outlines=True),
    "coco": forms.write_coco,
    "midog": lambda folder: forms.write_coco(folder, corners=True),
    "label images": forms.write_label_images,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return forms.write_images(tmp_path / "data")


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_points(folder: Path, form: str) -> None:
    WRITERS[form](folder)
    fields = read_labelled(folder, POINTS)
    assert [(field.path.name, field.mpp) for field in fields] == [(name, 0.5) for name in FIGURES]
    for field in fields:
        expected = FIGURES[field.path.name]
        np.testing.assert_allclose(field.points, np.array([f[:2] for f in expected], float).reshape(-1, 2))
        assert field.kinds is not None
        assert field.kinds.tolist() == [CLASSES.index(figure[2]) for figure in expected]


@pytest.mark.parametrize("form", ["qupath outlines", "coco", "midog", "label images"])
def test_every_form_with_outlines_gives_the_same_pixels(folder: Path, form: str) -> None:
    WRITERS[form](folder)
    for field in read_labelled(folder, PIXELS):
        np.testing.assert_array_equal(field.pixel_classes, forms.painted(field.path.name))


def test_label_images_may_have_values_of_their_own(folder: Path) -> None:
    forms.write_label_images(folder, (255, 7, 30))
    fields = read_labelled(folder, LabelRules(0.5, CLASSES, "segmentation", (255, 7, 30)))
    np.testing.assert_array_equal(fields[0].pixel_classes, forms.painted("A_1.png"))
    only_two = read_labelled(folder, LabelRules(0.5, CLASSES, "segmentation", (255, 7, 31)))
    assert set(np.unique(only_two[0].pixel_classes)) == {0, 1, 255}


def test_hard_negatives_are_disputed_and_what_is_to_be_ignored_is_no_figure(folder: Path) -> None:
    forms.write_qupath(folder)
    features = [forms.feature(5, 6, "hard negative"), forms.feature(8, 9, "Ignore*"), forms.feature(30, 40, "cell")]
    (folder / "labels" / "C_1.geojson").write_text(json.dumps(features))
    field = read_labelled(folder, POINTS)[2]
    assert field.points.tolist() == [[30, 40]]
    assert (field.disputed.tolist(), field.ignored.tolist()) == ([[5, 6]], [[8, 9]])


def test_points_without_a_class_are_of_the_first(folder: Path) -> None:
    (folder / "labels.csv").write_text("image,x,y\nA_1.png,3,4\n")
    field = read_labelled(folder, POINTS)[0]
    assert (field.case, field.points.tolist(), field.kinds.tolist()) == ("A_1", [[4, 3]], [1])


def test_images_beside_their_labels_will_do(tmp_path: Path) -> None:
    folder = forms.write_images(tmp_path)
    forms.write_qupath(folder)
    for path in [*(folder / "images").iterdir(), *(folder / "labels").iterdir()]:
        path.rename(folder / path.name)
    for name in ("images", "labels"):
        (folder / name).rmdir()
    assert [field.path.name for field in read_labelled(folder, POINTS)] == list(FIGURES)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda folder: None, "holds no labels"),
        (lambda folder: (folder / "labels.csv").write_text("image,x\nA_1.png,3\n"), "columns image, x and y"),
        (lambda folder: (folder / "labels.csv").write_text("image,x,y\nA_1.png,3,four\n"), "columns image, x and y"),
        (lambda folder: (folder / "labels.csv").write_text("image,x,y,label\nA_1.png,3,4,tree\n"), "class 'tree'"),
        (lambda folder: (folder / "labels.json").write_text("{}"), "neither COCO nor MIDOG"),
        (lambda folder: (folder / "labels.json").write_text("{"), "neither COCO nor MIDOG"),
        (lambda folder: (folder / "images" / "A_1.geojson").write_text('{"features": [{}]}'), "not GeoJSON"),
        (lambda folder: (folder / "images" / "A_1.geojson").write_text("nothing"), "not GeoJSON"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_with_the_reason(folder: Path, write, said: str) -> None:
    write(folder)
    with pytest.raises(SettingsError, match=said):
        read_labelled(folder, POINTS)


def test_points_are_no_segmentation(folder: Path) -> None:
    forms.write_qupath(folder)
    with pytest.raises(SettingsError, match="needs outlines"):
        read_labelled(folder, PIXELS)
    forms.write_points(folder)
    with pytest.raises(SettingsError, match="needs outlines or label images"):
        read_labelled(folder, PIXELS)


def test_a_label_image_of_another_size_or_without_any_class_is_refused(folder: Path) -> None:
    forms.write_label_images(folder, (9, 9, 9))
    with pytest.raises(SettingsError, match="has the values 9; set label_values"):
        read_labelled(folder, PIXELS)
    from PIL import Image

    Image.new("L", (90, 61)).save(folder / "labels" / "A_1.png")
    with pytest.raises(SettingsError, match="90 x 61 px, its field 90 x 60"):
        read_labelled(folder, PIXELS)


corners = st.tuples(st.floats(-5, 65), st.floats(-5, 95))


@settings(max_examples=40, deadline=None)
@given(st.lists(corners, min_size=3, max_size=7))
def test_painting_fills_the_pixels_whose_centre_lies_within(ring: list[tuple[float, float]]) -> None:
    painted = paint_marks([Mark(2, (0, 0), (np.array(ring),))], SHAPE)
    for row, col in np.random.default_rng(0).integers((0, 0), SHAPE, (60, 2)):
        assert painted[row, col] == 2 * is_within(row + 0.5, col + 0.5, ring)


def is_within(row: float, col: float, ring: list[tuple[float, float]]) -> bool:
    """Even-odd rule, one edge after another."""
    inside = False
    for (row1, col1), (row2, col2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (row1 <= row) != (row2 <= row) and col >= col1 + (row - row1) / (row2 - row1) * (col2 - col1):
            inside = not inside
    return inside


def test_the_centre_of_an_outline_is_its_centre_of_mass() -> None:
    triangle = np.array([(0.0, 0.0), (0.0, 6.0), (9.0, 0.0)])
    assert centre_of_ring(triangle) == pytest.approx((2.5, 1.5))
    assert centre_of_ring(triangle[::-1]) == pytest.approx((2.5, 1.5))
    assert centre_of_ring(np.array([(2.0, 2.0), (2.0, 4.0), (2.0, 6.0)])) == pytest.approx((1.5, 3.5))
