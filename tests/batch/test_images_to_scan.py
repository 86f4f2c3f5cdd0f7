"""Several images in a file: every one is scanned and named, in every way that a batch has; or the one asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models import save_model
from scanner import open_slide, scan
from scanner.batch.images_to_scan import each_image
from scanner.batch.worklist import FoundSlide, plan_jobs
from scanner.errors import MaskError
from service.cli import all_commands
from tests.factories.images import FIRST, OVERVIEW, SECOND, WRITERS, Part
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

PARTS = [Part(OVERVIEW, mpp=16.0), Part(FIRST, 2), Part(SECOND)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, random_model(stride=4))
    return str(folder)


def mitoscan(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and all that was said."""
    result = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(all_commands(), list(map(str, arguments)))
    return result.exit_code, result.output


def report(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def scanned(out: Path) -> dict[str, int]:
    """The result folders, and the image that each of them is of."""
    return {path.parent.name: report(path.parent)["slide"]["image"] for path in out.glob("*/run.json")}


@pytest.mark.parametrize("way", ["file", "folder", "manifest"])
@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif", "two.zarr", "three.zarr"])
def test_every_image_is_scanned_into_a_folder_of_its_own(tmp_path: Path, model: str, name: str, way: str) -> None:
    (tmp_path / "slides").mkdir()
    WRITERS[name](tmp_path / "slides" / name, PARTS)
    (tmp_path / "slides.csv").write_text(f"path\nslides/{name}\n")
    asked = {"file": f"slides/{name}", "folder": "slides", "manifest": "slides.csv"}[way]
    out, stem = tmp_path / "out", Path(name).stem
    code, said = mitoscan("scan", tmp_path / asked, "-o", out, "-m", model)
    assert (code, scanned(out)) == (0, {stem: 1, f"{stem}-image-2": 2}), said
    assert f"{name}, image 2: " in said
    slides = json.loads((out / "batch.json").read_text())["slides"]
    assert [(slide["folder"], slide["image"]) for slide in slides] == [(stem, None), (f"{stem}-image-2", 2)]
    first, second = report(out / stem)["slide"], report(out / f"{stem}-image-2")["slide"]
    assert (first["width"], second["width"]) == (384, 192)
    assert first["images"] == second["images"]
    assert [(image["index"], image["kind"], image["mpp"]) for image in first["images"]] == [
        (0, "overview", pytest.approx(16)),
        (1, "image", pytest.approx(0.5)),
        (2, "image", pytest.approx(0.5)),
    ]
    assert mitoscan("scan", tmp_path / asked, "-o", out, "-m", model)[1].count("already scanned") == 2


@pytest.mark.parametrize("way", ["option", "manifest"])
def test_one_image_that_is_asked_for_has_the_slides_name(tmp_path: Path, model: str, way: str) -> None:
    WRITERS["a.ome.tif"](tmp_path / "a.ome.tif", PARTS)
    (tmp_path / "a.csv").write_text("path,image\na.ome.tif,2\n")
    asked = ["a.csv"] if way == "manifest" else ["a.ome.tif", "--image", "2"]
    code, said = mitoscan("scan", tmp_path / asked[0], *asked[1:], "-o", tmp_path / "out", "-m", model)
    assert (code, scanned(tmp_path / "out")) == (0, {"a.ome": 2}), said
    # Another image of the same file is another scan, and no finished one.
    code, said = mitoscan("scan", tmp_path / "a.ome.tif", "--image", "1", "-o", tmp_path / "out", "-m", model)
    assert (code, "holds a scan with another slide" in said) == (1, True)


def test_the_first_image_is_the_same_scan_whether_it_is_asked_for_or_not(tmp_path: Path, model: str) -> None:
    WRITERS["a.ome.tif"](tmp_path / "a.ome.tif", PARTS)
    for asked in ([], ["--image", "1"]):
        code, said = mitoscan("scan", tmp_path / "a.ome.tif", *asked, "-o", tmp_path / "out", "-m", model)
        assert (code, "a.ome.tif: " in said, "already scanned" in said) == (0, True, bool(asked)), said


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif", "three.zarr"])
def test_an_image_that_no_file_has_is_refused_with_those_there_are(tmp_path: Path, model: str, name: str) -> None:
    WRITERS[name](tmp_path / name, PARTS)
    for asked in (["--dry-run"], []):
        code, said = mitoscan("scan", tmp_path / name, "--image", "3", "-o", tmp_path / "out", "-m", model, *asked)
        assert code == 2
        assert "there is no image 3; it holds image 0" in said
    assert not (tmp_path / "out").exists()


def test_a_file_without_the_image_that_another_has_fails_by_its_name(tmp_path: Path, model: str) -> None:
    WRITERS["a.ome.tif"](tmp_path / "a.ome.tif", PARTS)
    write_pyramid(tmp_path / "b.svs", texture(150, 150))
    code, said = mitoscan("scan", tmp_path, "--image", "2", "-o", tmp_path / "out", "-m", model)
    assert (code, scanned(tmp_path / "out")) == (1, {"a.ome": 2})
    assert "b.svs: there is no image 2; it holds image 0 (150 x 150 px)" in said


def test_one_image_that_fails_hinders_no_other(tmp_path: Path, model: str) -> None:
    WRITERS["a.ome.tif"](tmp_path / "a.ome.tif", [Part(FIRST, 2), Part(texture(100, 100), 2, mpp=None), Part(SECOND)])
    WRITERS["a.ome.tif"](tmp_path / "b.ome.tif", [Part(FIRST, mpp=3.9), Part(SECOND)])
    code, said = mitoscan("scan", tmp_path, "-o", tmp_path / "out", "-m", model)
    assert (code, scanned(tmp_path / "out")) == (1, {"a.ome": 0, "a.ome-image-2": 2, "b.ome-image-1": 1})
    assert "b.ome.tif: 3.9 um/px is too coarse" in said
    assert "a.ome.tif: the slide does not state its mpp" in said


def test_a_dry_run_says_what_every_image_costs(tmp_path: Path, model: str) -> None:
    WRITERS["a.ome.tif"](tmp_path / "a.ome.tif", PARTS)
    code, said = mitoscan("scan", tmp_path / "a.ome.tif", "--dry-run", "-o", tmp_path / "out", "-m", model)
    assert code == 0
    assert "a.ome.tif: " in said
    assert "a.ome.tif, image 2: " in said
    assert "total: 2 slides" in said


def test_folders_of_images_never_meet_those_of_other_slides(tmp_path: Path) -> None:
    WRITERS["a.tif"](tmp_path / "a.tif", [Part(FIRST), Part(SECOND)])
    write_pyramid(tmp_path / "a-image-1.tif", texture(100, 100))
    found = [FoundSlide(path, Path(path.name)) for path in sorted(tmp_path.iterdir())]
    folders = [job.folder for job in plan_jobs(each_image(found), Path("out"))]
    assert folders == [Path("out/a-image-1.tif"), Path("out/a"), Path("out/a.tif-image-1")]


def test_two_images_of_a_manifest_have_their_numbers(tmp_path: Path) -> None:
    found = [FoundSlide(tmp_path / "a.tif", Path("a.tif"), image=image) for image in (1, 2)]
    assert [job.folder.name for job in plan_jobs(found, Path("out"))] == ["a-image-1", "a-image-2"]
    named = [FoundSlide(tmp_path / "a.tif", Path("a.tif"), Path(f"piece {image}"), image=image) for image in (1, 2)]
    assert [job.folder.name for job in plan_jobs(named, Path("out"))] == ["piece 1", "piece 2"]


def test_one_mask_is_of_one_image(tmp_path: Path) -> None:
    WRITERS["a.tif"](tmp_path / "a.tif", [Part(FIRST), Part(SECOND)])
    (tmp_path / "mask.png").touch()
    found = [FoundSlide(tmp_path / "a.tif", Path("a.tif"))]
    with pytest.raises(MaskError, match=r"a\.tif: holds 2 images, but .*mask\.png is a mask for one; pass --image"):
        each_image(found, mask=tmp_path / "mask.png")
    assert len(each_image(found, 1, mask=tmp_path / "mask.png")) == 1
    assert len(each_image(found, mask=tmp_path)) == 2


@pytest.mark.parametrize("name", WRITERS)
def test_python_takes_the_first_image_with_a_warning(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, PARTS)
    words = r"holds 2 images; image 1 is taken, not image 2.*; pass image="
    with pytest.warns(UserWarning, match=words), open_slide(tmp_path / name) as slide:
        assert slide.image.index == 1
    with pytest.warns(UserWarning, match=words):
        result = scan(tmp_path / name, random_model(stride=4))
    assert result.report["slide"]["image"] == result.report["settings"]["image"] == 1
    assert [image["index"] for image in result.report["slide"]["images"]] == [0, 1, 2]
    result = scan(tmp_path / name, random_model(stride=4), image=2)
    assert (result.report["slide"]["image"], result.report["slide"]["width"]) == (2, 192)
