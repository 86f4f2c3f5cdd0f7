"""OME-Zarr metadata (0.4 and 0.5) of a slide: which arrays are its levels, their axes, their mpp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import zarr

from scanner.errors import DamagedSlideError, UnsupportedSlideError
from scanner.slides.metadata.resolution import Stated
from scanner.slides.metadata.stated import Length, resolution_from_sides
from scanner.slides.metadata.units import number_of
from scanner.slides.pixels.protocol import RGB

#: As writers of RGB name their channels' colours.
_RGB = ["FF0000", "00FF00", "0000FF"]


@dataclass(frozen=True)
class Multiscale:
    """One image of an OME-Zarr group."""

    #: Lower-case names, e.g. ("c", "y", "x").
    axes: tuple[str, ...]
    #: Paths of the levels' arrays within the group, from full resolution downwards.
    paths: tuple[str, ...]
    resolution: Stated
    #: What each level states of its own pixels.
    stated_by_levels: tuple[Stated, ...]
    #: Empty if it has none.
    name: str = ""


def ome_attributes(group: zarr.Group) -> Mapping[str, Any]:
    """What a group says in OME's words: 0.5 has a namespace of its own for them."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else attributes


def read_multiscales(attributes: Mapping[str, Any]) -> list[Multiscale]:
    """The images that a group's attributes describe."""
    return [_read_multiscale(image) for image in attributes.get("multiscales") or ()]


def _read_multiscale(image: Mapping[str, Any]) -> Multiscale:
    datasets = image["datasets"]
    axes = image.get("axes") or [{"name": letter} for letter in "tczyx"]  # Before 0.3 there was no choice.
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]  # 0.3: names alone
    stated = tuple(_resolution(axes, [dataset, image]) for dataset in datasets)
    return Multiscale(
        tuple(axis["name"].lower() for axis in axes),
        tuple(dataset["path"] for dataset in datasets),
        stated[0],
        stated,
        str(image.get("name") or "").strip("/"),
    )


def _resolution(axes: Sequence[Mapping[str, Any]], scaled: Sequence[Mapping[str, Any]]) -> Stated:
    """From the scales of level 0 and of the whole image, which multiply; without a unit a scale is no length."""
    sides = {str(axis["name"]).lower(): _side(axis, index, scaled) for index, axis in enumerate(axes)}
    silent = Length("scale", None, None)
    return resolution_from_sides(sides.get("y", silent), sides.get("x", silent), "ome-zarr scale")


def _side(axis: Mapping[str, Any], index: int, scaled: Sequence[Mapping[str, Any]]) -> Length:
    transformations = [step for part in scaled for step in part.get("coordinateTransformations") or ()]
    steps = [str(step["scale"][index]) for step in transformations if step.get("type") == "scale"]
    number = steps[0] if len(steps) == 1 else None
    if len(steps) > 1:
        try:
            number = f"{prod(map(number_of, steps)):.12g}"
        except ValueError:
            number = " x ".join(steps)  # Refused as it stands.
    return Length(f"scale of {axis['name']}", number, str(axis.get("unit") or "pixel"))


def refuse_stains(attributes: Mapping[str, Any], name: str) -> None:
    """UnsupportedSlideError if the channels of a group's image are coloured, but not as red, green and blue."""
    channels: Sequence[Mapping[str, Any]] = (attributes.get("omero") or {}).get("channels") or ()
    colours = [str(channel.get("color", "")).upper().lstrip("#") for channel in channels]
    if any(colours) and colours != _RGB and len(colours) > 1:
        labels = ", ".join(str(channel.get("label", "?")) for channel in channels)
        raise UnsupportedSlideError(f"{name}: channels {labels} are not the red, green and blue of a brightfield slide")


def plan_axes(
    axes: tuple[str, ...], shape: tuple[int, ...], name: str, *, channels: int | None = RGB
) -> tuple[int, int, int | None]:
    """Which axes are rows, columns and, if any, channels.

    Raises
    ------
    DamagedSlideError
        Axes and shape contradict each other.
    UnsupportedSlideError
        A further axis is longer than 1: a stack or a time series; or RGB is wanted, and there are neither one nor three
        channels.
    """
    if len(axes) != len(shape) or len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes):
        raise DamagedSlideError(f"{name}: axes {', '.join(axes)} do not fit an array of shape {shape}")
    longer = [f"{axis} = {side}" for axis, side in zip(axes, shape, strict=True) if axis not in "yxc" and side != 1]
    if longer:
        raise UnsupportedSlideError(f"{name}: {', '.join(longer)}: a scan needs one plane")
    channel = axes.index("c") if "c" in axes else None
    if channels == RGB and channel is not None and shape[channel] not in (1, RGB):
        raise UnsupportedSlideError(f"{name}: c = {shape[channel]}: a model of stained tissue needs three, as RGB")
    return axes.index("y"), axes.index("x"), channel
