"""Ventana BIF: tiles that overlap are joined as they were cut, and several areas lie where they were scanned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from scanner.errors import DamagedSlideError
from scanner.slides import Slide, open_slide
from scanner.slides.vendor import detect_vendor
from tests.factories.bif import TILE, Area, write_bif
from tests.factories.slides import Pixels, halved, texture
from tests.slides.formats.test_vendor_formats import whole


def area(rows: int, cols: int, *, overlap: int, seed: int = 0, top: int = 0, left: int = 0) -> Area:
    step = TILE - overlap
    return Area(texture(rows * step + overlap, cols * step + overlap, seed=seed), top, left)


def part_of(slide: Slide, scanned: Area, *, level: int = 0) -> Pixels:
    height, width = (side >> level for side in scanned.pixels.shape[:2])
    top, left = scanned.top >> level, scanned.left >> level
    return slide.read(level, (top, left, top + height, left + width))


@pytest.mark.parametrize("overlap", [0, 1, 7, 8])
def test_tiles_that_overlap_are_joined(tmp_path: Path, overlap: int) -> None:
    scanned = area(4, 5, overlap=overlap)
    write_bif(tmp_path / "slide.bif", [scanned], overlap=overlap, mpp=0.2465)
    assert detect_vendor(tmp_path / "slide.bif") == "ventana"
    with open_slide(tmp_path / "slide.bif") as slide:
        assert (slide.mpp, slide.mpp_source, slide.origin) == (pytest.approx(0.2465), "openslide property", (0, 0))
        assert [level.downsample for level in slide.levels] == [1, 2]
        np.testing.assert_array_equal(whole(slide), scanned.pixels)
        if overlap % 2 == 0:  # Of an odd one, half a pixel is left over: OpenSlide then smooths the reduced level.
            np.testing.assert_array_equal(part_of(slide, scanned, level=1), halved(scanned.pixels))


def test_several_areas_lie_where_they_were_scanned_and_glass_is_between(tmp_path: Path) -> None:
    areas = [area(3, 4, overlap=8, left=104), area(2, 3, overlap=8, seed=1, top=320), area(1, 2, overlap=8, top=200)]
    write_bif(tmp_path / "slide.bif", areas)
    with open_slide(tmp_path / "slide.bif") as slide:
        assert (slide.levels[0].height, slide.levels[0].width) == (320 + 120, 104 + 232)
        expected = np.full((440, 336, 3), 255, np.uint8)
        for scanned in areas:
            height, width = scanned.pixels.shape[:2]
            expected[scanned.top : scanned.top + height, scanned.left : scanned.left + width] = scanned.pixels
        np.testing.assert_array_equal(whole(slide), expected)
        for scanned in areas:
            np.testing.assert_array_equal(part_of(slide, scanned, level=1), halved(scanned.pixels))


def test_a_box_does_not_change_its_pixels(tmp_path: Path) -> None:
    write_bif(tmp_path / "slide.bif", [area(10, 11, overlap=7)], overlap=7)
    with open_slide(tmp_path / "slide.bif") as slide, openslide.OpenSlide(slide.path) as oracle:
        for level in range(2):
            pixels = whole(slide, level)
            rgba = np.asarray(oracle.read_region((0, 0), level, oracle.level_dimensions[level]))
            opaque = rgba[:, :, 3] == 255
            np.testing.assert_array_equal(pixels[opaque], rgba[opaque][:, :3])
            for top, left, bottom, right in [(0, 0, 9, 9), (3, 60, 130, 200), (100, 5, 200, 310)]:
                box = slide.read(level, (top, left, bottom, right))
                np.testing.assert_array_equal(
                    box[: len(pixels) - top, : pixels.shape[1] - left], pixels[top:bottom, left:right]
                )


def test_a_slide_of_several_areas_is_scanned_once_and_whole(tmp_path: Path) -> None:
    from models import load_model
    from scanner import scan

    areas = [area(5, 5, overlap=8), area(4, 5, overlap=8, seed=3, top=600)]
    write_bif(tmp_path / "slide.bif", areas, levels=1)
    result = scan(tmp_path / "slide.bif", load_model("mitosis-1"), stride=16)
    mm2 = sum(scanned.pixels.shape[0] * scanned.pixels.shape[1] for scanned in areas) * (0.25 / 1000) ** 2
    assert result.report["area_mm2"]["tissue"] == pytest.approx(mm2, rel=0.1)


def test_a_joint_that_openslide_does_not_know_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "slide.bif"
    write_bif(path, [area(2, 2, overlap=8)])
    path.write_bytes(path.read_bytes().replace(b'"RIGHT"', b'"RIGXX"'))
    with pytest.raises(DamagedSlideError, match=r"slide\.bif: OpenSlide: .*RIGXX"):
        open_slide(path)
