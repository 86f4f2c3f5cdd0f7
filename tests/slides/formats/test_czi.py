"""CziSlide: what Zeiss' own writer has written, all scenes in one frame; without the extra it is refused by name."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scanner.errors import DamagedSlideError, ResolutionError, SlideError, UnsupportedSlideError
from scanner.slides import describe_file, open_slide
from scanner.slides.czi.slide import CziSlide
from tests.factories.czi import Scene, write_czi
from tests.factories.slides import Pixels, halved, texture
from tests.slides.formats.test_vendor_formats import whole

pytest.importorskip("pylibCZIrw", reason="needs the extra `czi`")

ONE, TWO = texture(300, 400), texture(200, 260, seed=1)


def frame(scenes: list[Scene]) -> Pixels:
    top, left = (min(getattr(scene, side) for scene in scenes) for side in ("top", "left"))
    bottom = max(scene.top + scene.pixels.shape[0] for scene in scenes)
    right = max(scene.left + scene.pixels.shape[1] for scene in scenes)
    expected = np.full((bottom - top, right - left, 3), 255, np.uint8)
    for scene in scenes:
        rows, cols = scene.top - top, scene.left - left
        expected[rows : rows + scene.pixels.shape[0], cols : cols + scene.pixels.shape[1]] = scene.pixels
    return expected


@pytest.mark.parametrize("compression", ["uncompressed:", "zstd0:ExplicitLevel=3", "zstd1:ExplicitLevel=2"])
def test_scenes_lie_in_one_frame_with_glass_between(tmp_path: Path, compression: str) -> None:
    scenes = [Scene(ONE, top=20, left=-10), Scene(TWO, top=100, left=640)]
    write_czi(tmp_path / "slide.czi", scenes, mpp=0.221, compression=compression)
    with open_slide(tmp_path / "slide.czi") as slide:
        assert isinstance(slide, CziSlide)
        assert (slide.mpp, slide.mpp_source) == (pytest.approx(0.221), "czi scaling")
        np.testing.assert_array_equal(whole(slide), frame(scenes))


def test_the_levels_of_the_file_are_read_and_none_is_made_up(tmp_path: Path) -> None:
    scenes = [Scene(ONE), Scene(TWO, top=400, left=100)]
    write_czi(tmp_path / "one.czi", scenes)
    write_czi(tmp_path / "two.czi", scenes, is_pyramid=True)
    with open_slide(tmp_path / "one.czi") as slide:
        assert [level.downsample for level in slide.levels] == [1.0]
    with open_slide(tmp_path / "two.czi") as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0]
        np.testing.assert_array_equal(whole(slide), frame(scenes))
        reduced = [Scene(halved(scene.pixels), scene.top // 2, scene.left // 2) for scene in scenes]
        np.testing.assert_array_equal(whole(slide, 1), frame(reduced))


def test_a_box_does_not_change_its_pixels_nor_do_threads(tmp_path: Path) -> None:
    scenes = [Scene(texture(1100, 1300))]
    write_czi(tmp_path / "slide.czi", scenes)
    boxes = [(0, 0, 1100, 1300), (500, 500, 520, 1290), (511, 3, 513, 1025), (-5, -5, 20, 1310)] * 4
    around = np.pad(scenes[0].pixels, ((5, 0), (5, 10), (0, 0)), constant_values=255)
    with open_slide(tmp_path / "slide.czi") as slide, ThreadPoolExecutor(4) as threads:
        for (top, left, bottom, right), pixels in zip(
            boxes, threads.map(lambda box: slide.read(0, box), boxes), strict=True
        ):
            np.testing.assert_array_equal(pixels, around[top + 5 : bottom + 5, left + 5 : right + 5])


def test_of_sixteen_bits_the_upper_eight_are_used(tmp_path: Path) -> None:
    write_czi(tmp_path / "slide.czi", [Scene(ONE.astype(np.uint16) * 256 + 77)])
    with open_slide(tmp_path / "slide.czi") as slide:
        np.testing.assert_array_equal(whole(slide), ONE)


def test_what_is_no_plane_of_colours_is_refused(tmp_path: Path) -> None:
    write_czi(tmp_path / "grey.czi", [Scene(ONE[:, :, 0])])
    with pytest.raises(UnsupportedSlideError, match=r"grey\.czi: pixels of type Gray8 are not brightfield RGB"):
        open_slide(tmp_path / "grey.czi")
    write_czi(tmp_path / "stack.czi", [Scene(ONE)], planes=3)
    with pytest.raises(UnsupportedSlideError, match=r"stack\.czi: Z = 3: a scan needs one plane"):
        open_slide(tmp_path / "stack.czi")


def test_a_czi_that_does_not_state_its_mpp_is_refused(tmp_path: Path) -> None:
    write_czi(tmp_path / "slide.czi", [Scene(ONE)], mpp=None)
    with pytest.raises(ResolutionError, match=r"slide\.czi.*--mpp"):
        open_slide(tmp_path / "slide.czi")
    contents = describe_file(tmp_path / "slide.czi")
    assert (contents.format, contents.reader, len(contents.images)) == ("Zeiss CZI", "pylibCZIrw", 1)
    assert "--mpp" in contents.images[0].problem
    with open_slide(tmp_path / "slide.czi", mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "override")


def test_without_the_extra_it_is_refused_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_czi(tmp_path / "slide.czi", [Scene(ONE)])
    monkeypatch.setattr("scanner.slides.readers.has_czi_reader", lambda: False)
    with pytest.raises(UnsupportedSlideError, match=r"OpenSlide does not read this CZI \(.+\); pip install .*\[czi\]"):
        open_slide(tmp_path / "slide.czi")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_czi_that_is_cut_off_is_damage(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "slide.czi"
    write_czi(path, [Scene(ONE)])
    content = path.read_bytes()
    path.write_bytes(content[: max(20, int(keep * len(content)))])
    with pytest.raises(SlideError, match=r"slide\.czi: "):
        open_slide(path)


def test_a_part_that_says_it_is_larger_than_its_place_is_damage(tmp_path: Path) -> None:
    # libCZI would allocate what it says, and take the process down with it.
    path = tmp_path / "slide.czi"
    write_czi(path, [Scene(ONE)])
    content = bytearray(path.read_bytes())
    struct.pack_into("<q", content, content.index(b"ZISRAWSUBBLOCK") + 32 + 8, 2**62)
    path.write_bytes(content)
    with pytest.raises(DamagedSlideError, match=r"slide\.czi: damaged CZI: the segment at byte \d+ is larger"):
        open_slide(path)


def test_a_closed_slide_says_so(tmp_path: Path) -> None:
    write_czi(tmp_path / "slide.czi", [Scene(ONE)])
    slide = open_slide(tmp_path / "slide.czi")
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="is closed"):
        slide.read(0, (0, 0, 1, 1))
    (tmp_path / "slide.czi").write_bytes(b"ZISRAWFILE" + bytes(2000))
    with pytest.raises(DamagedSlideError, match=r"slide\.czi: "):
        open_slide(tmp_path / "slide.czi")
