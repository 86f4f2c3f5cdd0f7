"""ZarrSlide: every layout of the axes gives the same pixels; what is no RGB plane is refused with its reason."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scanner.errors import DamagedSlideError, ResolutionError, SlideError, UnreadableRegionError, UnsupportedSlideError
from scanner.slides import Slide, open_slide
from scanner.slides.pixels.protocol import KnowsHoles
from scanner.slides.pixels.read_through import NoBytesError
from scanner.slides.zarr.slide import ZarrSlide
from tests.factories.slides import Pixels, pyramid, texture
from tests.factories.zarr import write_image, write_ome_zarr

LEVELS = pyramid(texture(301, 421), 3)


def whole(slide: Slide, level: int = 0) -> Pixels:
    return slide.read(level, (0, 0, slide.levels[level].height, slide.levels[level].width))


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
    with pytest.raises(UnsupportedSlideError, match="group: a Zarr group without OME's multiscales"):
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


@pytest.mark.parametrize("fill", [0, 255, 240])
@pytest.mark.parametrize(("version", "axes"), [("0.4", "yxc"), ("0.4", "tczyx"), ("0.5", "cyx"), ("0.5", "yxc")])
def test_a_chunk_that_is_not_there_is_no_glass(tmp_path: Path, version: str, axes: str, fill: int) -> None:
    path, levels = tmp_path / "slide.zarr", pyramid(texture(300, 420), 3)
    write_ome_zarr(path, levels, version=version, axes=axes)
    for level, place in ((0, (1, 2)), (1, (0, 0)), (2, (0, 0)), (2, (1, 0))):
        lose_chunks(path / f"s{level}", axes, place, fill=fill)
    with open_slide(path) as slide:
        assert isinstance(slide, KnowsHoles)
        expected = np.ones((300, 420), np.bool_)
        expected[48:96, 128:192] = False
        pixels, held = slide.read_held(0, (0, 0, 300, 420))
        np.testing.assert_array_equal(held, expected)
        np.testing.assert_array_equal(pixels[expected], levels[0][expected])
        with pytest.raises(NoBytesError, match=r"slide\.zarr: level 0"):
            slide.read(0, (90, 120, 100, 130))
        _, held = slide.read_held(1, (0, 0, 150, 210))
        assert held is None or held[:48, :64].all(), "the chunks below are there"
        np.testing.assert_allclose(slide.read(1, (0, 0, 48, 64)), levels[1][:48, :64], rtol=0, atol=1.01)
        np.testing.assert_allclose(slide.read(2, (48, 0, 75, 64)), levels[2][48:, :64], rtol=0, atol=1.01)


def lose_chunks(array: Path, axes: str, place: tuple[int, int], *, fill: int) -> None:
    """Remove one of the chunks at a row and column of chunks (that of the last channel), and state the fill value."""
    metadata = array / ("zarr.json" if (array / "zarr.json").exists() else ".zarray")
    content = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(content | {"fill_value": fill}))
    indices = dict(zip("yx", place, strict=True))
    grid = content.get("chunk_grid", {}).get("configuration", {}).get("chunk_shape") or content["chunks"]
    last = {"c": -(-3 // grid[axes.index("c")]) - 1}
    key = [str((indices | last).get(axis, 0)) for axis in axes]
    (array / ("c/" + "/".join(key) if metadata.name == "zarr.json" else ".".join(key))).unlink()


def test_a_chunk_left_out_of_a_shard_is_no_glass(tmp_path: Path) -> None:
    pixels = texture(256, 256)
    pixels[64:128, 64:128] = 0  # Left out, since it is nothing but the fill value.
    pixels[130:140, 130:140] = 0  # Written: its chunk holds other values as well.
    shape: dict[str, Any] = {"shape": pixels.shape, "chunks": (64, 64, 3), "shards": (128, 128, 3)}
    zarr.create_array(str(tmp_path / "field.zarr"), dtype="u1", fill_value=0, **shape)[:] = pixels
    with open_slide(tmp_path / "field.zarr") as slide:
        assert isinstance(slide, KnowsHoles)
        found, held = slide.read_held(0, (0, 0, 256, 256))
    expected = np.ones((256, 256), np.bool_)
    expected[64:128, 64:128] = False
    np.testing.assert_array_equal(held, expected)
    np.testing.assert_array_equal(found[expected], pixels[expected])


@pytest.mark.parametrize("writes_all", [True, False])
def test_black_that_was_written_is_black(tmp_path: Path, writes_all: bool) -> None:
    array = zarr.create_array(
        str(tmp_path / "field.zarr"), shape=(64, 64, 3), chunks=(32, 32, 3), dtype="u1", fill_value=0,
        config={"write_empty_chunks": writes_all},
    )  # fmt: skip
    array[:] = np.zeros((64, 64, 3), np.uint8)
    with open_slide(tmp_path / "field.zarr") as slide:
        if writes_all:
            assert not slide.read(0, (0, 0, 64, 64)).any()
        else:
            with pytest.raises(NoBytesError):
                slide.read(0, (0, 0, 64, 64))


def test_other_channels_are_there_if_any_chunk_is(tmp_path: Path) -> None:
    pixels = np.stack([texture(64, 64)[..., 0], np.zeros((64, 64), np.uint8)])  # (c, y, x)
    group = zarr.open_group(str(tmp_path / "slide.zarr"), mode="w")
    group.create_array("s0", shape=pixels.shape, chunks=(1, 32, 32), dtype="u1")[:] = pixels
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx")]
    scale = {"type": "scale", "scale": [1.0, 0.5, 0.5]}
    datasets = [{"path": "s0", "coordinateTransformations": [scale]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    with open_slide(tmp_path / "slide.zarr", channels=2) as slide:
        np.testing.assert_array_equal(slide.read(0, (0, 0, 64, 64)), pixels.transpose(1, 2, 0))
    (tmp_path / "slide.zarr" / "s0" / "c" / "0" / "1" / "1").unlink()
    with open_slide(tmp_path / "slide.zarr", channels=2) as slide, pytest.raises(NoBytesError):
        slide.read(0, (0, 0, 64, 64))
