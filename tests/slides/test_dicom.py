"""DICOM: a slide is a series, opened by any of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from scanner.slides import Slide, open_slide
from scanner.slides.dicom_header import series_of
from tests.dicom_factory import Coding, write_dicom_series
from tests.slides_factory import Pixels, pyramid, texture

LEVELS = pyramid(texture(301, 421), 3)


def whole(slide: Slide, level: int) -> Pixels:
    return slide.read(level, (0, 0, slide.levels[level].height, slide.levels[level].width))


@pytest.mark.parametrize("coding", ["jpeg", "jpeg2000", "raw"])
@pytest.mark.parametrize("named", ["level-0.dcm", "level-2.dcm"])
def test_a_series_is_one_pyramid_by_whichever_file_it_is_opened(tmp_path: Path, coding: Coding, named: str) -> None:
    decoded = write_dicom_series(tmp_path, LEVELS, coding=coding)
    with open_slide(tmp_path / named) as slide, openslide.OpenSlide(tmp_path / named) as oracle:
        assert (slide.mpp, slide.mpp_source) == (0.25, "openslide property")
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
        for level, pixels in enumerate(decoded):
            rgba = np.asarray(oracle.read_region((0, 0), level, oracle.level_dimensions[level]))
            np.testing.assert_array_equal(whole(slide, level), rgba[:, :, :3])
            np.testing.assert_array_equal(whole(slide, level), pixels)


def test_two_series_in_a_folder_are_two_slides(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, LEVELS)
    for file in sorted(tmp_path.iterdir()):
        file.rename(tmp_path / f"first-{file.name}")
    write_dicom_series(tmp_path, pyramid(texture(130, 140), 2))
    with open_slide(tmp_path / "first-level-1.dcm") as first, open_slide(tmp_path / "level-1.dcm") as second:
        assert (first.levels[0].height, second.levels[0].height) == (301, 130)


def test_the_series_is_read_from_the_head_of_a_file(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, LEVELS[:1], uid="1.2.3.4")
    assert series_of(tmp_path / "level-0.dcm") == "1.2.3.4"


def test_the_series_of_a_real_slide_is_openslides(shared_data: Path) -> None:
    path = shared_data / "slides" / "ezwsi_camelyon.dcm"
    with openslide.OpenSlide(path) as oracle:
        assert series_of(path) == oracle.properties["dicom.SeriesInstanceUID"]


@pytest.mark.parametrize("content", [b"", b"no DICOM", bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\xff" * 90])
def test_what_is_no_dicom_has_no_series(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    assert series_of(tmp_path / "a.dcm") is None
    assert series_of(tmp_path / "nowhere.dcm") is None
