"""`mitoscan info`: what is in a file of every format, in words and as JSON; a bad file is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from models import DEFAULT_MODEL
from scanner.slides import open_slide
from service.cli import all_commands
from tests.factories.images import FIRST, OVERVIEW, SECOND, WRITERS, Part, write_chain
from tests.factories.slides import texture, write_pyramid
from tests.slides.test_second_opinion import FORMATS


def mitoscan(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(all_commands(), list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


def described(*paths: Path) -> list[dict[str, Any]]:
    code, said, _ = mitoscan("info", "--json", *paths)
    content: list[dict[str, Any]] = json.loads(said)
    assert code == int(any("error" in one for one in content))
    return content


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_described_as_it_is_opened(tmp_path: Path, format_: str) -> None:
    name, write, *_ = FORMATS[format_]
    write(tmp_path / name)
    (content,) = described(tmp_path / name)
    with open_slide(tmp_path / name) as slide:
        image = content["images"][slide.image.index]
        assert [(level["width"], level["height"], level["downsample"]) for level in image["levels"]] == [
            (level.width, level.height, level.downsample) for level in slide.levels
        ]
        assert (image["kind"], image["problem"], image["mpp"]) == ("image", "", slide.mpp)
    assert content["format"]
    assert content["reader"] in ("tifffile", "OpenSlide", "zarr", "PIL", "pylibCZIrw")
    code, said, _ = mitoscan("info", tmp_path / name)
    assert code == 0
    assert said.startswith(f"{tmp_path / name}: {content['format']}, read by {content['reader']}")
    assert f"scan by {DEFAULT_MODEL}: at most" in said


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_a_field_is_described(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(texture(100, 120)).save(tmp_path / f"field.{suffix}")
    code, said, _ = mitoscan("info", tmp_path / f"field.{suffix}")
    assert code == 0
    assert "read by PIL\n  image 0: 120 x 100 px, mpp is not stated, 3 channels\n" in said


@pytest.mark.parametrize("name", WRITERS)
def test_every_image_is_named_with_its_extent(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, [Part(OVERVIEW, mpp=16.0), Part(FIRST, 2), Part(SECOND)])
    (content,) = described(tmp_path / name)
    overview, first, second = content["images"]
    assert (overview["kind"], overview["scan"]) == ("overview", None)
    assert first["scan"] == {
        "model": DEFAULT_MODEL,
        "mpp": 0.25,
        "width": 768,
        "height": 512,
        "tiles": 1,
        "area_mm2": pytest.approx(384 * 256 * 0.25e-6),
    }
    assert second["scan"]["width"] == 384
    said = mitoscan("info", tmp_path / name)[1]
    assert [f"  image {index}" in said for index in range(4)] == [True, True, True, False]
    assert "    level: 192 x 128 px, downsample 2" in said


def test_a_bad_file_is_one_line_and_the_others_go_on(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.svs", texture(100, 120))
    (tmp_path / "bad.svs").write_text("no slide")
    (tmp_path / "folder").mkdir()
    paths = [tmp_path / name for name in ("gone.svs", "bad.svs", "folder", "a.svs")]
    code, said, failed = mitoscan("info", *paths)
    assert code == 1
    assert said.startswith(f"{tmp_path / 'a.svs'}: Aperio")
    lines = failed.splitlines()
    assert [str(path) in line for path, line in zip(paths, lines, strict=False)] == [True] * 3
    assert len(lines) == 3
    content = described(*paths)
    assert [set(one) == {"path", "error"} for one in content] == [True, True, True, False]


def test_what_cannot_be_scanned_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "silent.svs", texture(100, 120), mpp=None)
    code, said, _ = mitoscan("info", tmp_path / "silent.svs")
    assert code == 0
    assert "cannot be scanned as it is: the slide does not state its mpp; pass it with --mpp" in said
    assert "scan by" not in said
    write_chain(tmp_path / "a.tif", [(FIRST, {}), (SECOND[:100], {"subfiletype": 1})])
    note = "the TIFF page of 192 x 100 px, flagged as a level, is left out: it is no reduction of 384 x 256 px"
    assert f"  note: {note}\n" in mitoscan("info", tmp_path / "a.tif")[1]
    assert described(tmp_path / "a.tif")[0]["notes"] == [note]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_second_opinion_finds_nothing_but_known_errors(tmp_path: Path, format_: str) -> None:
    name, write, aspects = FORMATS[format_]
    write(tmp_path / name)
    code, said, _ = mitoscan("info", "--check", tmp_path / name)
    assert code == 0, said
    if aspects is None:
        assert "check: OpenSlide does not read this format" in said
    elif aspects:
        assert "(known: " in said
    else:
        assert "check: OpenSlide agrees on sizes, downsamples, mpp and the sampled pixels" in said
    code, said, _ = mitoscan("info", "--check", "--json", tmp_path / name)
    (content,) = json.loads(said)
    assert (content["check"] is None, content["unexplained"]) == (aspects is None, 0)


def test_a_difference_that_nothing_explains_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pyramid(tmp_path / "slide.svs", texture(300, 400), compression="jpeg")
    monkeypatch.setattr("scanner.slides.second_opinion.SAME_MPP", -1.0)
    code, said, _ = mitoscan("info", "--check", tmp_path / "slide.svs")
    assert code == 1
    assert "check: 0.25 um/px (aperio description); OpenSlide: 0.25 um/px (NOT EXPLAINED)" in said


def test_a_slide_that_states_no_mpp_is_checked_all_the_same(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.svs", texture(300, 400), compression="jpeg", mpp=None)
    code, said, _ = mitoscan("info", "--check", tmp_path / "slide.svs")
    assert code == 0
    assert "cannot be scanned as it is" in said
    assert "check: OpenSlide agrees on" in said


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_several_images_are_checked(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, [Part(FIRST, 2, name="a"), Part(SECOND, 1, name="b")])
    code, said, _ = mitoscan("info", "--check", tmp_path / name)
    assert code == 0, said
