"""Models of several classes, and of grey images: a map for each class, detections of each, or areas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from PIL import Image

from models import Model
from models.normalisation import Normalisation, NormalisationKind
from models.pixel_tables import apply_table, normalisation_table
from scanner import scan
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.worklist import Job
from scanner.geometry.frames import Box
from scanner.maps.segmentation import NOT_SCANNED, label_values
from scanner.maps.smoothing import smooth
from scanner.maps.store import MapStore
from scanner.result import ScanResult
from tests.factories.array_slide import ArraySlide
from tests.factories.slides import texture
from tests.networks.reference import patch_by_patch
from tests.networks.small_models import DOT_RADIUS, dot_model, random_model

CLASSES = ("ground", "pit", "scratch", "spot")
GREY = Normalisation(NormalisationKind.AFFINE, (0.5,), (0.5,))


def several_classes(*, task: str = "detection", grey: bool = False, seed: int = 3) -> Model:
    """A network of random weights for four classes, of which three are mapped."""
    channels = 1 if grey else 3
    model = random_model(stride=2, seed=seed, arguments={"classes": 4, "channels": channels})
    card = replace(
        model.card,
        classes=CLASSES,
        target="pit",
        targets=CLASSES[1:],
        task=task,
        threshold=0.4,
        normalisation=GREY if grey else model.card.normalisation,
    )
    return Model(card, model.net)


@pytest.fixture
def field(tmp_path: Path) -> ArraySlide:
    return slide_of(texture(150, 131), tmp_path)


def slide_of(pixels: npt.NDArray[np.uint8], folder: Path) -> ArraySlide:
    slide = ArraySlide([pixels])
    slide.path = folder / "field.tif"
    slide.path.write_bytes(b"a slide is known by its bytes")
    return slide


def expected_maps(model: Model, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probability of each mapped class, patch by patch on the mirrored field: (classes, rows, cols)."""
    before, after = 21 // 2, 21 - 1 - 21 // 2
    mirrored = np.pad(pixels, ((before, after), (before, after), (0, 0)), mode="reflect")
    images = apply_table(torch.from_numpy(mirrored)[None], normalisation_table(model.card.normalisation))
    with torch.no_grad():
        probabilities = patch_by_patch(model.net, images, 21).softmax(dim=1)[0]
    return probabilities[1:, ::2, ::2].numpy()


@pytest.mark.parametrize("grey", [False, True])
def test_each_class_has_the_map_that_it_has_patch_by_patch(field: ArraySlide, grey: bool) -> None:
    model = several_classes(grey=grey)
    maps = np.asarray(scan(field, model, tile_size=40, device="cpu", any_stain=True, tissue=False).map)
    np.testing.assert_allclose(maps, expected_maps(model, field.read(0, (0, 0, 150, 131))), atol=1e-5)


def test_a_grey_field_is_the_same_whether_saved_grey_or_in_colour(tmp_path: Path) -> None:
    grey = texture(90, 80)[..., 1]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(tmp_path / "colour.png")
    maps = [np.asarray(scan(tmp_path / name, several_classes(grey=True)).map) for name in ("grey.png", "colour.png")]
    np.testing.assert_array_equal(*maps)


def test_luminance_of_grey_is_the_grey_itself() -> None:
    levels = torch.arange(256, dtype=torch.uint8)[:, None, None].expand(256, 1, 3)[None]
    table = torch.arange(256, dtype=torch.float32)[None]
    torch.testing.assert_close(apply_table(levels, table)[0, 0, :, 0], table[0], rtol=0, atol=0)


@pytest.mark.parametrize("tile_size", [32, 90, 1024])
def test_labels_are_the_highest_class_that_reaches_the_threshold(field: ArraySlide, tile_size: int) -> None:
    model = several_classes(task="segmentation")
    result = scan(field, model, tile_size=tile_size, device="cpu", tissue=False)
    assert result.segmentation is not None
    radius_px = model.card.smoothing_um / result.frame.map_mpp
    smoothed = np.stack([smooth(layer, radius_px) for layer in np.asarray(result.map)])
    expected = np.where(smoothed.max(axis=0) >= 0.4, smoothed.argmax(axis=0) + 1, 0)
    assert len(np.unique(expected)) >= 3
    np.testing.assert_array_equal(labels_of(result), expected)


def test_areas_are_those_of_the_labels_and_add_up_to_what_was_scanned(field: ArraySlide) -> None:
    result = scan(field, several_classes(task="segmentation"), tissue=False)
    assert result.segmentation is not None
    labels = labels_of(result)
    for area in result.segmentation.areas:
        assert area.share == pytest.approx((labels == area.label).mean())
    assert sum(area.area_mm2 for area in result.segmentation.areas) == pytest.approx(result.report["area_mm2"]["slide"])
    assert (result.report["count"], result.detections, result.candidates) == (0, (), ())


def test_where_every_class_has_a_map_the_threshold_does_not_matter() -> None:
    card = replace(random_model().card, classes=("a", "b"), target="a", targets=("a", "b"))
    values = np.array([[[0.1, 0.3]], [[0.2, 0.3]]], np.float32)
    np.testing.assert_array_equal(label_values(values, card, threshold=0.9), [[1, 0]])


def test_what_was_not_scanned_has_no_class(tmp_path: Path) -> None:
    pixels = np.full((400, 600, 3), 245, np.uint8)
    pixels[:, :200] = texture(400, 200)
    result = scan(slide_of(pixels, tmp_path), several_classes(task="segmentation"))
    labels = labels_of(result)
    assert (labels[:, -40:] == NOT_SCANNED).all()
    assert (labels[:, :90] != NOT_SCANNED).all()


def test_the_files_show_the_labels(tmp_path: Path) -> None:
    Image.fromarray(texture(150, 131)).save(tmp_path / "field.png")
    result = scan(tmp_path / "field.png", several_classes(task="segmentation"), tmp_path / "out", tissue=False)
    labels = labels_of(result)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "segmentation.ome.tiff"), labels)
    with Image.open(tmp_path / "out" / "segmentation.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [row["name"] for row in report["classes"]] == list(CLASSES)
    for index, name in enumerate(("map.ome.tiff", "map-scratch.ome.tiff", "map-spot.ome.tiff")):
        written = tifffile.imread(tmp_path / "out" / name)
        np.testing.assert_allclose(written / 255, np.asarray(result.map)[index], atol=0.5 / 255 + 1e-6)
    assert "classes" in (tmp_path / "out" / "report.html").read_text()


def test_a_batch_says_the_areas_of_the_classes(tmp_path: Path) -> None:
    Image.fromarray(texture(150, 131)).save(tmp_path / "field.png")
    job = Job(tmp_path / "field.png", tmp_path / "out" / "field")
    model = several_classes(task="segmentation")
    (outcome,) = scan_batch([job], BatchOrder(model, {"tissue": False}), tmp_path / "out")
    report = json.loads((tmp_path / "out" / "field" / "run.json").read_text())
    assert outcome.class_mm2 == {row["name"]: row["area_mm2"] for row in report["classes"]}
    (line,) = json.loads((tmp_path / "out" / "batch.json").read_text())["slides"]
    assert line["class_mm2"] == outcome.class_mm2


def test_figures_of_each_class_are_detected_as_that_class(tmp_path: Path) -> None:
    places = {"dark": [(40, 60), (90, 150)], "bright": [(60, 110), (120, 40)]}
    pixels = np.full((160, 200, 3), 128, np.uint8)
    rows, cols = np.mgrid[:160, :200]
    for label, level in (("dark", 10), ("bright", 245)):
        for row, col in places[label]:
            pixels[np.hypot(rows - row, cols - col) <= DOT_RADIUS] = level
    result = scan(slide_of(pixels, tmp_path), dark_and_bright_model(), tissue=False, any_stain=True)
    for label, planted in places.items():
        found = sorted((d.row, d.col) for d in result.detections if d.label == label)
        np.testing.assert_allclose(found, sorted(planted), atol=1)
    assert result.report["counts"]["by_class"] == {"dark": 2, "bright": 2}


def test_layers_of_an_unfinished_store_are_found_again(field: ArraySlide, tmp_path: Path) -> None:
    frame = scan(field, several_classes(), tissue=False).frame
    plan = {"mapped": ["pit", "scratch", "spot"]}
    first = MapStore.open(tmp_path / "work", frame, chunk_side=32, plan=plan)
    assert MapStore.open(tmp_path / "work", frame, chunk_side=32, plan=plan).layers == first.layers == 3
    assert MapStore.open(tmp_path / "work", frame, chunk_side=32, plan={}).layers == 1
    assert not (tmp_path / "work" / "map-1.zarr").exists()


def labels_of(result: ScanResult) -> npt.NDArray[np.uint8]:
    assert result.segmentation is not None
    return result.segmentation.read(Box(0, 0, *result.map.shape))


def dark_and_bright_model() -> Model:
    """Two matched filters, one for dark dots and one for bright ones, on three classes."""
    dots = dot_model()
    filters, head = dots.net[0], torch.nn.Linear(2, 3)
    both = torch.nn.Conv2d(3, 2, filters.kernel_size)
    both.weight.data = torch.cat([filters.weight.data, -filters.weight.data])
    both.bias.data = torch.zeros(2)
    head.weight.data = torch.tensor([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]])
    head.bias.data = torch.tensor([0.0, -7.0, -7.0])
    net = torch.nn.Sequential(both, torch.nn.MaxPool2d(2), torch.nn.Flatten(), head).eval()
    classes = ("ground", "dark", "bright")
    return Model(replace(dots.card, classes=classes, target="dark", targets=classes[1:]), net)
