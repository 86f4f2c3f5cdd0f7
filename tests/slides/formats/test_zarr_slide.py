"""ZarrSlide: every layout of the axes gives the same pixels; what is no RGB plane is refused with its reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scanner.errors import DamagedSlideError, ResolutionError, SlideError, UnreadableRegionError, UnsupportedSlideError
from scanner.slides import open_slide
from scanner.slides.zarr.slide import ZarrSlide
from tests.factories.slides import pyramid, texture, whole
from tests.factories.zarr import write_image, write_ome_zarr

LEVELS = pyramid(texture(301, 421), 3)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yxc", "cyx", "czyx", "tczyx", "tzyxc", "cxy"])
def test_every_level_is_read_whatever_the_axes(tmp_path: Path, version: str, axes: str) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS, version=version, axes=axes)
    with open_slide(tmp_path / "slide") as slide:
        assert isinstance(slide, ZarrSlide)
        assert (slide.mpp, slide.mpp_source, slide.origin) == (0.25, "ome-zarr scale", (0, 0))
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
        for level, pixels in enumerate(LEVELS):
            np.testing.assert_array_equal(whole(slide, level), pixels)
        around = np.pad(LEVELS[1], ((60, 60), (60, 60), (0, 0)), constant_values=255)
        np.testing.assert_array_equal(slide.read(1, (-20, 100, 160, 250)), around[40:220, 160:310])


@pytest.mark.parametrize("unit", ["nanometer", "millimeter", "meter"])
def test_mpp_is_scaled_by_its_unit(tmp_path: Path, unit: str) -> None:
    um = {"nanometer": 1e-3, "millimeter": 1e3, "meter": 1e6}[unit]
    write_ome_zarr(tmp_path / "slide", LEVELS, mpp=0.25 / um, unit=unit)
    with open_slide(tmp_path / "slide") as slide:
        assert slide.mpp == pytest.approx(0.25)


def test_the_scale_of_the_whole_image_multiplies(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS, mpp=1.0)
    group = zarr.open_group(str(tmp_path / "slide"))
    content: dict[str, Any] = group.attrs.asdict()["ome"]
    content["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    group.attrs["ome"] = content
    with open_slide(tmp_path / "slide") as slide:
        assert slide.mpp == 0.5


def test_a_pyramid_without_a_unit_needs_mpp(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS, unit=None)
    with pytest.raises(ResolutionError, match="slide: the slide does not state its mpp; pass it with --mpp"):
        open_slide(tmp_path / "slide")
    with open_slide(tmp_path / "slide", mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "override")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array_is_a_field(tmp_path: Path, zarr_format: int) -> None:
    array = zarr.create_array(
        str(tmp_path / "field.zarr"), shape=(301, 421, 3), chunks=(64, 64, 3), dtype=np.uint8, zarr_format=zarr_format
    )
    array[:] = LEVELS[0]
    with open_slide(tmp_path / "field.zarr") as slide:
        assert (slide.mpp, slide.mpp_source) == (None, "assumed")
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


def test_sharded_chunks_are_read(tmp_path: Path) -> None:
    array = zarr.create_array(
        str(tmp_path / "field.zarr"), shape=(301, 421, 3), chunks=(32, 32, 3), shards=(256, 256, 3), dtype=np.uint8
    )
    array[:] = LEVELS[0]
    with open_slide(tmp_path / "field.zarr") as slide:
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


def test_the_first_image_of_bioformats2raw_is_the_slide(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "slide"), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    write_image(group.create_group("0"), LEVELS, version="0.4", axes="tczyx")
    write_image(group.create_group("1"), [texture(40, 50)], version="0.4", axes="tczyx")
    with open_slide(tmp_path / "slide", image=0) as slide:
        np.testing.assert_array_equal(whole(slide, 1), LEVELS[1])


def test_a_grey_plane_is_read_as_grey(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS, axes="yx")
    with open_slide(tmp_path / "slide") as slide:
        np.testing.assert_array_equal(whole(slide), np.repeat(LEVELS[0][:, :, :1], 3, axis=2))


def channels(*colours: str) -> dict[str, Any]:
    return {"channels": [{"color": colour, "label": f"stain {colour}"} for colour in colours]}


def test_channels_coloured_as_rgb_are_rgb(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS, omero=channels("FF0000", "00FF00", "0000FF"))
    with open_slide(tmp_path / "slide") as slide:
        np.testing.assert_array_equal(whole(slide), LEVELS[0])


def test_fluorescent_channels_are_refused(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS, omero=channels("0000FF", "00FF00", "FF0000"))
    with pytest.raises(UnsupportedSlideError, match="stain 0000FF, stain 00FF00, stain FF0000 are not the red"):
        open_slide(tmp_path / "slide")


@pytest.mark.parametrize(
    ("shape", "axes", "dtype", "reason"),
    [
        ((4, 90, 90), "cyx", "u1", "c = 4"),
        ((5, 90, 90), "zyx", "u1", "z = 5: a scan needs one plane"),
        ((2, 1, 1, 90, 90), "tczyx", "u1", "t = 2"),
        ((3, 90, 90), "cyx", "u2", "uint16 pixels"),
        ((3, 90, 90), "cyx", "f4", "float32 pixels"),
    ],
)
def test_what_is_no_rgb_plane_is_refused(
    tmp_path: Path, shape: tuple[int, ...], axes: str, dtype: str, reason: str
) -> None:
    group = zarr.open_group(str(tmp_path / "slide"), mode="w")
    group.create_array("0", shape=shape, dtype=dtype)
    image = {"axes": [{"name": axis} for axis in axes], "datasets": [{"path": "0"}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    with pytest.raises(UnsupportedSlideError, match=f"slide: level '0': {reason}"):
        open_slide(tmp_path / "slide")


def test_a_group_that_is_no_image_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "group"), mode="w").attrs["ome"] = {}
    with pytest.raises(UnsupportedSlideError, match="group: a Zarr group without OME multiscales"):
        open_slide(tmp_path / "group")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("kind", "parts"), [("plate", "wells"), ("well", "images")])
def test_a_plate_is_refused_by_name(tmp_path: Path, version: str, kind: str, parts: str) -> None:
    group = zarr.open_group(str(tmp_path / "screen"), mode="w", zarr_format=2 if version == "0.4" else 3)
    content = {kind: {parts: [{"path": "A/1"}, {"path": "A/2"}]}}
    group.attrs.update(content if version == "0.4" else {"ome": content})
    with pytest.raises(UnsupportedSlideError, match=f"a {kind} of a high-content screen .* A/1, A/2; name the folder"):
        open_slide(tmp_path / "screen")


@pytest.mark.parametrize("content", ["", "{", '{"zarr_format": 9}', '{"zarr_format": 3, "node_type": "array"}'])
def test_broken_metadata_is_damage(tmp_path: Path, content: str) -> None:
    (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(DamagedSlideError, match="damaged Zarr"):
        open_slide(tmp_path)


def test_datasets_that_are_not_there_are_damage(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS)
    (tmp_path / "slide" / "s1" / "zarr.json").unlink()
    with pytest.raises(DamagedSlideError, match="damaged Zarr"):
        open_slide(tmp_path / "slide")


def test_levels_that_grow_are_damage(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS[::-1])
    with pytest.raises(DamagedSlideError, match="do not make a pyramid"):
        open_slide(tmp_path / "slide")


def test_a_damaged_chunk_spoils_its_own_pixels_only(tmp_path: Path) -> None:
    array = zarr.create_array(
        str(tmp_path / "field.zarr"), shape=(1200, 1100, 3), chunks=(512, 512, 3), dtype=np.uint8, zarr_format=2
    )
    pixels = texture(1200, 1100)
    array[:] = pixels
    chunk = tmp_path / "field.zarr" / "1.1.0"
    chunk.write_bytes(b"\xff" * 40)
    with open_slide(tmp_path / "field.zarr") as slide:
        with pytest.raises(UnreadableRegionError, match=r"field\.zarr: level 0, chunks at \(512, 512\)"):
            slide.read(0, (600, 600, 700, 700))
        np.testing.assert_array_equal(slide.read(0, (0, 0, 1200, 512)), pixels[:, :512])


def test_four_threads_read_what_one_reads(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS)
    boxes = [(top, left, top + 90, left + 70) for top in range(0, 300, 40) for left in range(0, 400, 60)]
    with open_slide(tmp_path / "slide") as slide, ThreadPoolExecutor(4) as threads:
        around = np.pad(LEVELS[0], ((0, 200), (0, 200), (0, 0)), constant_values=255)
        for box, pixels in zip(boxes, threads.map(lambda box: slide.read(0, box), boxes), strict=True):
            np.testing.assert_array_equal(pixels, around[box[0] : box[2], box[1] : box[3]])


def test_a_closed_slide_says_so(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "slide", LEVELS)
    slide = open_slide(tmp_path / "slide")
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="is closed"):
        slide.read(0, (0, 0, 1, 1))
