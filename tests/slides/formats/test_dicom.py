"""DICOM: a slide is a series, opened by any of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from scanner.errors import UnsupportedSlideError
from scanner.slides import ImageKind, Slide, describe_file, open_slide
from scanner.slides.dicom.header import series_of
from scanner.slides.pixels.protocol import ReadsMasked
from scanner.slides.pixels.read_through import NoBytesError
from tests.factories.dicom import Coding, filled_up, write_dicom_series
from tests.factories.holes import reduced
from tests.factories.slides import Pixels, pyramid, texture

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


def change(path: Path, target: Path, **values: Any) -> None:
    """Write a DICOM file anew, as another instance with other values."""
    instance = pydicom.dcmread(path)
    for key, value in values.items():
        setattr(instance, key, value)
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    pydicom.dcmwrite(target, instance, enforce_file_format=True)


@pytest.mark.parametrize("named", ["label.dcm", "overview.dcm", "level-0.dcm", "level-2.dcm"])
def test_label_overview_and_thumbnail_are_named_beside_the_volume(tmp_path: Path, named: str) -> None:
    for kind, pixels in {"label": texture(60, 80), "overview": texture(50, 64), "thumbnail": texture(40, 56)}.items():
        write_dicom_series(tmp_path, [pixels], uid="1.2.3")
        change(
            tmp_path / "level-0.dcm", tmp_path / f"{kind}.dcm", ImageType=["ORIGINAL", "PRIMARY", kind.upper(), "NONE"]
        )
    write_dicom_series(tmp_path, LEVELS, uid="1.2.3")
    slide, *others = describe_file(tmp_path / named).images
    assert (slide.kind, [level.downsample for level in slide.levels]) == (ImageKind.IMAGE, [1.0, 2.0, 4.0])
    assert [(one.name, one.levels[0].height, one.kind) for one in others] == [
        ("label", 60, ImageKind.OVERVIEW),
        ("macro", 50, ImageKind.OVERVIEW),
        ("thumbnail", 40, ImageKind.OVERVIEW),
    ]
    with pytest.raises(UnsupportedSlideError, match="'label' is an overview beside the slide, not the slide"):
        open_slide(tmp_path / named, image=1)


@pytest.mark.parametrize("named", ["level-0.dcm", "level-2.dcm"])
@pytest.mark.parametrize(
    ("key", "said"),
    [("NumberOfOpticalPaths", "holds 2 optical paths"), ("TotalPixelMatrixFocalPlanes", "holds 2 focal planes")],
)
def test_several_planes_are_refused_by_name(tmp_path: Path, named: str, key: str, said: str) -> None:
    write_dicom_series(tmp_path, LEVELS)
    for file in sorted(tmp_path.iterdir()):
        change(file, file, **{key: 2})
    for ask in (open_slide, describe_file):
        with pytest.raises(UnsupportedSlideError, match=f"{said}: a scan needs one plane"):
            ask(tmp_path / named)


def test_planes_in_files_of_their_own_are_refused_by_name(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, LEVELS)
    change(tmp_path / "level-0.dcm", tmp_path / "other.dcm")
    with pytest.raises(UnsupportedSlideError, match=r"level-0\.dcm and other\.dcm of its series have the same size"):
        open_slide(tmp_path / "level-1.dcm")


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


@pytest.fixture(params=["shared", "per frame"])
def padded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A series whose levels are filled up to whole tiles, their spacing in the groups of all frames or of each."""
    write_dicom_series(tmp_path, [filled_up(level) for level in LEVELS])
    for file in tmp_path.iterdir():
        if request.param == "per frame":
            move_spacing(file)
        file.rename(file.with_suffix("") if request.param == "per frame" else file)
    return next(tmp_path.glob("level-1*"))


def move_spacing(file: Path) -> None:
    """From the groups that all frames share to those of each frame."""
    slide = pydicom.dcmread(file)
    measures = slide.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    del slide.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    frames = []
    for _ in range(slide.NumberOfFrames):
        group = Dataset()
        group.PixelMeasuresSequence = measures
        frames.append(group)
    slide.PerFrameFunctionalGroupsSequence = Sequence(frames)
    slide["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    slide.save_as(file)


def test_the_spacing_of_each_level_decides_where_levels_are_filled_up(padded: Path) -> None:
    height, width = filled_up(LEVELS[0]).shape[:2]
    with open_slide(padded, mpp=0.25) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
        assert [(level.height, level.width) for level in slide.levels] == [
            (-(-height // side), -(-width // side)) for side in (1, 2, 4)
        ]
        for index, pixels in enumerate(LEVELS):
            found = whole(slide, index)[: pixels.shape[0], : pixels.shape[1]]
            assert np.abs(found.astype(int) - pixels).mean() < 12, "the codec's loss, not another place"


def test_a_level_that_states_no_spacing_is_taken_by_its_size(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, LEVELS)
    for file in tmp_path.iterdir():
        slide = pydicom.dcmread(file)
        del slide.SharedFunctionalGroupsSequence
        slide.save_as(file)
    with open_slide(tmp_path / "level-0.dcm", mpp=0.25) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]


def test_the_size_of_the_slide_says_what_a_missing_spacing_does_not(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, [filled_up(level) for level in LEVELS])
    for index, file in enumerate(sorted(tmp_path.iterdir())):
        slide = pydicom.dcmread(file)
        del slide.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        slide.ImagedVolumeWidth = slide.TotalPixelMatrixColumns * 0.00025 * 2**index
        slide.ImagedVolumeHeight = slide.TotalPixelMatrixRows * 0.00025 * 2**index
        slide.save_as(file)
    with open_slide(tmp_path / "level-0.dcm", mpp=0.25) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]


def test_frames_that_a_sparse_series_lacks_are_no_glass(tmp_path: Path) -> None:
    decoded = write_dicom_series(tmp_path, LEVELS, coding="jpeg2000", lost={0: {8}, 1: {0, 3}})
    with open_slide(tmp_path / "level-0.dcm") as slide:
        assert isinstance(slide, ReadsMasked)
        pixels, readable = slide.read_masked(0, (0, 0, 301, 421))
        expected = np.ones((301, 421), np.bool_)
        expected[64:128, 64:128] = False  # 7 frames in a row.
        np.testing.assert_array_equal(readable, expected)
        np.testing.assert_array_equal(pixels[expected], decoded[0][expected])
        with pytest.raises(NoBytesError, match="level 0"):
            slide.read(0, (100, 100, 101, 101))
        # Of level 1, frame 3 is drawn from what level 0 has, frame 0 but for what that lacks.
        _, readable = slide.read_masked(1, (0, 0, 150, 210))
        lacks = np.argwhere(~readable if readable is not None else np.zeros((0, 0)))
        assert (lacks.min(axis=0).tolist(), lacks.max(axis=0).tolist()) == ([32, 32], [63, 63])
        drawn = slide.read(1, (0, 192, 64, 210))
        np.testing.assert_allclose(drawn, reduced(decoded[0][:128, 384:420], 2), rtol=0, atol=1.01)
