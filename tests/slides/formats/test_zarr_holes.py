"""Chunks that a Zarr lacks are unreadable, whatever the fill value; what was written is not taken for one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scanner.slides import open_slide
from scanner.slides.pixels.protocol import ReadsMasked
from scanner.slides.pixels.read_through import NoBytesError
from tests.factories.slides import pyramid, texture
from tests.factories.zarr import write_ome_zarr


@pytest.mark.parametrize("fill", [0, 255, 240])
@pytest.mark.parametrize(("version", "axes"), [("0.4", "yxc"), ("0.4", "tczyx"), ("0.5", "cyx"), ("0.5", "yxc")])
def test_a_chunk_that_is_not_there_is_no_glass(tmp_path: Path, version: str, axes: str, fill: int) -> None:
    path, levels = tmp_path / "slide.zarr", pyramid(texture(300, 420), 3)
    write_ome_zarr(path, levels, version=version, axes=axes)
    for level, place in ((0, (1, 2)), (1, (0, 0)), (2, (0, 0)), (2, (1, 0))):
        lose_chunks(path / f"s{level}", axes, place, fill=fill)
    with open_slide(path) as slide:
        assert isinstance(slide, ReadsMasked)
        expected = np.ones((300, 420), np.bool_)
        expected[48:96, 128:192] = False
        pixels, readable = slide.read_masked(0, (0, 0, 300, 420))
        np.testing.assert_array_equal(readable, expected)
        np.testing.assert_array_equal(pixels[expected], levels[0][expected])
        with pytest.raises(NoBytesError, match=r"slide\.zarr: level 0"):
            slide.read(0, (90, 120, 100, 130))
        _, readable = slide.read_masked(1, (0, 0, 150, 210))
        assert readable is None or readable[:48, :64].all(), "the chunks below are there"
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
        assert isinstance(slide, ReadsMasked)
        found, readable = slide.read_masked(0, (0, 0, 256, 256))
    expected = np.ones((256, 256), np.bool_)
    expected[64:128, 64:128] = False
    np.testing.assert_array_equal(readable, expected)
    np.testing.assert_array_equal(found[expected], pixels[expected])


@pytest.mark.parametrize("writes_all", [True, False])
def test_black_that_was_written_is_black(tmp_path: Path, writes_all: bool) -> None:
    array = zarr.create_array(
        str(tmp_path / "field.zarr"),
        shape=(64, 64, 3),
        chunks=(32, 32, 3),
        dtype="u1",
        fill_value=0,
        config={"write_empty_chunks": writes_all},
    )
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
