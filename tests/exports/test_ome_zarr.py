"""The map as OME-Zarr: the metadata of version 0.5, max-pooled levels, each in its place on the slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from scanner.errors import OutputError
from scanner.exports import ome_zarr
from scanner.exports.ome_zarr import write_zarr
from scanner.geometry.frames import Frame

FRAME = Frame(5201, 3001, level0_mpp=0.25, grid_mpp=0.5, stride=2)
VALUES = np.random.default_rng(0).random((FRAME.map_height, FRAME.map_width), np.float32)


def write(path: Path) -> zarr.Group:
    write_zarr(path, lambda box: VALUES[box.slices()], FRAME)
    return zarr.open_group(str(path), mode="r")


def multiscale(group: zarr.Group) -> dict[str, Any]:
    ome = group.attrs["ome"]
    assert isinstance(ome, dict)
    assert ome["version"] == "0.5"
    (scales,) = ome["multiscales"]
    return scales


def test_levels_are_maxima(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_zarr, "SHARD_PX", 512)  # Several shards.
    group = write(tmp_path / "map.ome.zarr")
    scales = multiscale(group)
    assert group.metadata.zarr_format == 3
    assert [axis["name"] for axis in scales["axes"]] == ["y", "x"]
    expected = np.rint(VALUES * 255)
    for dataset in scales["datasets"]:
        level = group[dataset["path"]]
        assert level.metadata.dimension_names == ("y", "x")
        np.testing.assert_array_equal(level[:], expected)
        padded = np.pad(expected, [(0, side % 2) for side in expected.shape])
        expected = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).max(axis=(1, 3))
    assert max(expected.shape) <= 512


def test_pixels_lie_where_the_slide_has_them(tmp_path: Path) -> None:
    scales = multiscale(write(tmp_path / "map.ome.zarr"))
    for level, dataset in enumerate(scales["datasets"]):
        scale, translation = (list(step.values())[1] for step in dataset["coordinateTransformations"])
        # The centre of the map px that a px of the level stands for, in um from the centre of the slide's first px.
        first, last = (FRAME.level0_from_map(px) * 0.25 for px in (0, 2**level - 1))
        assert translation == pytest.approx([(first + last) / 2] * 2)
        assert scale == pytest.approx([1.0 * 2**level] * 2)


def test_the_same_map_gives_the_same_files_and_replaces_old_ones(tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        write(tmp_path / "map.ome.zarr")
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path): path.read_bytes() for path in files})
        (tmp_path / "map.ome.zarr" / "stale").write_text("from an earlier scan")
    assert contents[0] == contents[1]


def test_what_the_disk_refuses_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"map\.ome\.zarr cannot be written"):
        write(tmp_path / "file" / "map.ome.zarr")
