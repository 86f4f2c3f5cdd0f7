"""Corners and sizes are told apart by statement or by certainty; a mark off its image is refused by its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from models import save_model
from scanner.cli.app import app
from scanner.errors import SettingsError
from scanner.labels.boxes import Boxes
from scanner.labels.coco import read_coco
from scanner.labels.folder import LabelRules, read_labelled
from scanner.training.recipe import recipe_from_toml
from scanner.training.train import read_recipe_fields
from tests.labels import label_folders as forms
from tests.labels.label_folders import CLASSES
from tests.networks.small_models import random_model

RULES = LabelRules(0.5, CLASSES)
#: Both readings are boxes on an image of 2000 px.
UNCERTAIN = [[100, 200, 150, 260], [400, 300, 450, 340]]
AS_CORNERS, AS_SIZE = [(229.5, 124.5), (319.5, 424.5)], [(329.5, 174.5), (469.5, 624.5)]


def write(folder: Path, boxes: list[list[float]], *, side: int | None = 2000, **more: Any) -> Path:
    """COCO's JSON of those boxes on one image; `more` goes to the file, `each` to every annotation."""
    each = more.pop("each", [{}] * len(boxes))
    image = {"id": 1, "file_name": "A_1.png", **({} if side is None else {"width": side, "height": side})}
    annotations = [
        {"id": 10 + number, "image_id": 1, "category_id": 1, "bbox": box, **own}
        for number, (box, own) in enumerate(zip(boxes, each, strict=True))
    ]
    content = {"images": [image], "categories": [{"id": 1, "name": "cell"}], "annotations": annotations, **more}
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def centres(path: Path, boxes: Boxes | None = None) -> list[tuple[float, float]]:
    return [mark.centre for mark in read_coco(path, CLASSES, boxes=boxes)["A_1.png"]]


@pytest.mark.parametrize(("boxes", "expected"), [(Boxes.CORNERS, AS_CORNERS), (Boxes.SIZE, AS_SIZE)])
def test_what_is_stated_is_done(tmp_path: Path, boxes: Boxes, expected: list[tuple[float, float]]) -> None:
    assert centres(write(tmp_path, UNCERTAIN), boxes) == expected


@pytest.mark.parametrize("side", [2000, None])
def test_what_nobody_states_is_refused_with_both_readings(tmp_path: Path, side: int | None) -> None:
    path = write(tmp_path, UNCERTAIN, side=side)
    with pytest.raises(SettingsError) as caught:
        centres(path)
    for said in (
        f"{path} does not say whether its boxes are corners or sizes",
        "[100, 200, 150, 260] of annotation 10",
        "as corners its centre is at (125, 230)",
        "as size its centre is at (175, 330)",
        "--boxes",
        "recipe",
    ):
        assert said in str(caught.value)


AREAS = {"corners": (50 * 60, 50 * 40), "size": (150 * 260, 450 * 340)}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"info": {"description": "MIDOG 2021 training set"}}, AS_CORNERS),
        ({"each": [{"area": area} for area in AREAS["corners"]]}, AS_CORNERS),
        ({"each": [{"area": area} for area in AREAS["size"]]}, AS_SIZE),
        ({"each": [{"bbox_mode": 0}] * 2}, AS_CORNERS),
        ({"each": [{"bbox_mode": 1}] * 2}, AS_SIZE),
    ],
)
def test_a_file_may_say_it(tmp_path: Path, more: dict[str, Any], expected: list[tuple[float, float]]) -> None:
    assert centres(write(tmp_path, UNCERTAIN, **more)) == expected


@pytest.mark.parametrize(
    ("boxes", "side", "expected"),
    [
        ([[100, 200, 50, 60]], 2000, [(229.5, 124.5)]),  # Corners would lie the wrong way round.
        ([[100, 200, 150, 260], [400, 300, 50, 40]], 2000, [(329.5, 174.5), (319.5, 424.5)]),
        ([[100, 200, 150, 260]], 320, [(229.5, 124.5)]),  # A size's centre would lie outside the image.
        ([[100, 200, 150, 250], [400, 300, 450, 350]], 2000, [(224.5, 124.5), (324.5, 424.5)]),  # MIDOG's squares.
    ],
)
def test_one_reading_may_be_the_only_possible_one(
    tmp_path: Path, boxes: list[list[float]], side: int, expected: list[tuple[float, float]]
) -> None:
    assert centres(write(tmp_path, boxes, side=side)) == expected


def test_a_box_of_50_px_alone_is_no_certainty(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not say whether"):
        centres(write(tmp_path, [[100, 200, 150, 250]]))


def test_outlines_need_no_statement(tmp_path: Path) -> None:
    outline = [[10, 20, 30, 20, 30, 40, 10, 40]]
    assert centres(write(tmp_path, UNCERTAIN, each=[{"segmentation": outline}] * 2)) == [(29.5, 19.5)] * 2


@pytest.mark.parametrize("stated", [Boxes.SIZE, Boxes.CORNERS])
def test_a_statement_that_is_impossible_is_refused_by_its_annotation(tmp_path: Path, stated: Boxes) -> None:
    boxes = [[10, 10, 20, 20], [1500, 1500, 1600, 1600] if stated is Boxes.SIZE else [1500, 1500, 50, 50]]
    with pytest.raises(
        SettingsError, match=rf"labels\.json, annotation 11: the box .*, read as {stated}, has its centre outside"
    ):
        centres(write(tmp_path, boxes), stated)


def test_boxes_that_are_possible_in_no_way_are_refused_by_their_annotations(tmp_path: Path) -> None:
    boxes = [[1500, 1500, 1600, 1600], [100, 100, 50, 50]]
    with pytest.raises(SettingsError, match=r"as sizes, .* of annotation 10 .*; as corners, .* of annotation 11"):
        centres(write(tmp_path, boxes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": [1, 2, 3]}, "annotation 7: neither four numbers of a box"),
        ({"bbox": None}, "annotation 7: neither four numbers of a box"),
        ({"bbox": [1, 2, 3, float("nan")]}, "annotation 7: its box holds a value that is not a number"),
        ({"image_id": 5}, "annotation 7: image 5 is not among the images"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 7: its outline has fewer than three corners"),
        ({"segmentation": [["a", 2]]}, "annotation 7: its outline is not a list of pairs of numbers"),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write(tmp_path, [[1, 2, 3, 4]], each=[{"id": 7, **change}])
    with pytest.raises(SettingsError, match=rf"labels\.json, {said}"):
        centres(path)


def far_off(folder: Path, form: str) -> str:
    """Labels of one form, one of which lies outside A_1.png of 90 x 60 px; the place that the message must name."""
    if form == "csv":
        (folder / "labels.csv").write_text("image,x,y\nA_1.png,3,4\nA_1.png,90,4\n")
        return r"labels\.csv, line 3: \(90, 4\) \(x, y\) lies outside A_1\.png of 90 x 60 px"
    if form == "hard negatives":
        (folder / "labels.csv").write_text("image,x,y\nA_1.png,3,4\n")
        (folder / "hard_negatives.csv").write_text("image;x;y\nA_1.png;3,5;-7,5\n")
        return r"hard_negatives\.csv, line 2: \(3\.5, -7\.5\) \(x, y\) lies outside"
    if form == "coco":
        write(folder, [[10, 10, 4, 4], [100, 10, 4, 4]], side=None)
        return r"labels\.json, annotation 11: its centre \(101\.5, 11\.5\) \(x, y\) lies outside A_1\.png of 90 x 60 px"
    (folder / "labels").mkdir()
    features = [forms.feature(5, 6, "cell"), forms.feature(70, 6, "cell", outline=form == "outlines") | {"id": "b"}]
    (folder / "labels" / "A_1.geojson").write_text(json.dumps(features))
    return r"A_1\.geojson, feature 2 \(b\): its centre \(6, 70\) \(x, y\) lies outside A_1\.png of 90 x 60 px"


@pytest.mark.parametrize("form", ["csv", "hard negatives", "coco", "points", "outlines"])
def test_a_mark_off_its_image_is_refused_by_file_and_place(tmp_path: Path, form: str) -> None:
    folder = forms.write_images(tmp_path / "data")
    said = far_off(folder, form)
    with pytest.raises(SettingsError, match=said):
        read_labelled(folder, RULES)


def test_recipe_and_command_state_it(tmp_path: Path) -> None:
    folder = forms.write_images(tmp_path / "data")
    write(folder, [[10, 10, 20, 30]], side=None)
    toml = (
        'name = "a"\nversion = "1"\narchitecture = "x"\nclasses = ["background", "cell"]\n{}'
        "[arguments]\npatch_size = 9\n"
    )
    for boxes, place in (("corners", [[19.5, 14.5]]), ("size", [[24.5, 19.5]])):
        recipe = recipe_from_toml(toml.format(f'boxes = "{boxes}"\n'))
        assert read_recipe_fields(recipe, folder)[0].points.tolist() == place
    with pytest.raises(SettingsError, match="does not say whether"):
        read_recipe_fields(recipe_from_toml(toml.format("")), folder)
    with pytest.raises(SettingsError, match="boxes = 'edges' is unknown; known: corners, size"):
        read_recipe_fields(recipe_from_toml(toml.format('boxes = "edges"\n')), folder)


@pytest.mark.parametrize("options", [[], ["--boxes", "corners"]])
def test_evaluate_has_an_option_for_it(tmp_path: Path, options: list[str]) -> None:
    folder = forms.write_images(tmp_path / "data")
    write(folder, [[10, 10, 20, 30]], side=None, categories=[])
    save_model(tmp_path / "model", random_model())
    arguments = ["evaluate", str(tmp_path / "model"), "--data", str(folder), "-o", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(app, arguments)
    if options:
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["pooled"]["figures"] == 1
    else:
        assert result.exit_code == 1
        assert "does not say whether its boxes are corners or sizes" in result.stderr


@pytest.mark.parametrize("form", ["csv", "qupath", "coco"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gz"])
def test_labels_are_text_in_any_encoding(tmp_path: Path, form: str, encoding: str) -> None:
    folder = forms.write_images(tmp_path / "data")
    {"csv": forms.write_points, "qupath": forms.write_qupath, "coco": forms.write_coco}[form](folder)
    expected = [field.points.tolist() for field in read_labelled(folder, RULES)]
    for path in [*folder.glob("*.csv"), *folder.glob("*.json"), *folder.glob("labels/*.geojson")]:
        if encoding == "gz":
            import gzip

            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        else:
            path.write_text(path.read_text(), encoding=encoding)
    found = read_labelled(folder, RULES)
    assert [field.points.tolist() for field in found] == expected
    assert np.concatenate([field.points for field in found]).size > 0
