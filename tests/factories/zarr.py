"""OME-Zarr made for tests, as its specification lays it out; nothing here is the code under test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tests.factories.slides import Pixels


def write_ome_zarr(
    path: Path,
    levels: list[Pixels],
    *,
    version: str = "0.5",
    axes: str = "cyx",
    mpp: float | None = 0.25,
    unit: str | None = "micrometer",
    omero: dict[str, Any] | None = None,
) -> None:
    """Levels (h, w, 3) as an OME-Zarr image: 0.4 on Zarr 2, 0.5 on Zarr 3."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    write_image(group, levels, version=version, axes=axes, mpp=mpp, unit=unit, omero=omero)


def write_image(
    group: zarr.Group,
    levels: list[Pixels],
    *,
    version: str,
    axes: str = "cyx",
    mpp: float | None = 0.25,
    unit: str | None = "micrometer",
    omero: dict[str, Any] | None = None,
) -> None:
    datasets = []
    for index, level in enumerate(levels):
        stored = with_axes(level, axes)
        chunks = tuple({"y": 48, "x": 64}.get(axis, 1 if index else 3) if axis in "yxc" else 1 for axis in axes)
        chunks = tuple(min(chunk, side) for chunk, side in zip(chunks, stored.shape, strict=True))
        array = group.create_array(f"s{index}", shape=stored.shape, chunks=chunks, dtype=np.uint8)
        array[:] = stored
        scale = [2.0**index * (mpp or 1.0) if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": f"s{index}", "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    kinds = {"t": "time", "c": "channel"}
    described: list[dict[str, str]] = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for axis in described:
        if axis["type"] == "space" and unit is not None and mpp is not None:
            axis["unit"] = unit
    content: dict[str, Any] = {"multiscales": [{"version": version, "axes": described, "datasets": datasets}]}
    if omero is not None:
        content["omero"] = omero
    if version == "0.4":
        group.attrs.update(content)
    else:
        content["multiscales"][0].pop("version")
        group.attrs["ome"] = {"version": version, **content}


def with_axes(pixels: Pixels, axes: str) -> Pixels:
    """(h, w, 3) in the order of `axes`, those that are none of y, x and c of length 1."""
    present = [axis for axis in axes if axis in "yxc"]
    moved = pixels.transpose(["yxc".index(axis) for axis in present]) if "c" in axes else pixels[:, :, 0]
    if "c" not in axes and present == ["x", "y"]:
        moved = moved.T
    return moved.reshape([moved.shape[present.index(axis)] if axis in present else 1 for axis in axes])
