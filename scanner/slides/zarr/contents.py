"""Which images a Zarr holds: the multiscales of a group, or the series of bioformats2raw; each with its levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import zarr

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.slides.files.foreign import foreign_errors_become
from scanner.slides.metadata.contents import FileContents
from scanner.slides.metadata.levels import StoredLevel, plan_levels, why_no_reduction
from scanner.slides.metadata.ome_xml import parse_ome
from scanner.slides.metadata.overviews import is_overview_name, mark_overviews
from scanner.slides.metadata.resolution import Mpp, Stated, settle_mpp
from scanner.slides.pixels.protocol import ImageInfo, ImageKind, Level
from scanner.slides.zarr.metadata import Multiscale, ome_attributes, plan_axes, read_multiscales

ZarrNode = zarr.Array[Any] | zarr.Group
#: bioformats2raw writes series by numbers from 0; a loop over them ends here.
_MAX_SERIES = 256


@dataclass(frozen=True)
class ZarrImage:
    """One image of a Zarr, as its metadata describe it."""

    name: str
    #: Of the group it lies in: RGB or stains.
    attributes: Mapping[str, Any]
    #: None of a plain array.
    multiscale: Multiscale | None
    #: The arrays of its levels with their places, from full resolution downwards.
    arrays: tuple[tuple[str, zarr.Array[Any]], ...]
    notes: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Of its arrays."""
        return ("y", "x", "c")[: self.arrays[0][1].ndim] if self.multiscale is None else self.multiscale.axes

    @property
    def stated(self) -> Stated:
        """What is stated of its pixel size."""
        return None if self.multiscale is None else self.multiscale.resolution


class ZarrContents:
    """The images of a Zarr, with their levels and mpp."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found = list(_find_images(zarr.open(str(path), mode="r"), path))
        self.notes = tuple(note for image in self.found for note in image.notes)
        is_slide = any(len(image.arrays) > 1 for image in self.found)
        #: Of each image, as the metadata state it.
        self.mpps = [settle_mpp(image.stated, is_slide=is_slide) for image in self.found]
        silent = {index for index, image in enumerate(self.found) if image.stated is None}
        self.images = mark_overviews([self._describe(index) for index in range(len(self.found))], silent)

    def _describe(self, index: int) -> ImageInfo:
        image, mpp = self.found[index], self.mpps[index]
        kind = ImageKind.OVERVIEW if is_overview_name(image.name) else ImageKind.IMAGE
        info = ImageInfo(index, image.name, kind, (), None, "", 0)
        try:
            _, _, channel = plan_axes(image.axes, image.arrays[0][1].shape, "level 0", channels=None)
            info = replace(info, levels=_levels(image))
        except SlideError as error:
            mpp = Mpp(None, "", str(error).removeprefix(f"{self.path}: "))
        else:
            info = replace(info, channels=1 if channel is None else int(image.arrays[0][1].shape[channel]))
        problem = "" if kind is ImageKind.OVERVIEW else mpp.problem
        return replace(info, mpp=mpp.value, mpp_source=mpp.source, problem=problem)


def describe_zarr(path: Path) -> FileContents:
    """All that a Zarr holds."""
    with foreign_errors_become(DamagedSlideError, f"{path}: damaged Zarr"):
        contents = ZarrContents(path)
        first = contents.found[0]
        kind = "Zarr array" if first.multiscale is None else "OME-Zarr"
        version = first.arrays[0][1].metadata.zarr_format
        return FileContents(path, f"{kind} (Zarr {version})", "zarr", contents.images, contents.notes)


def _find_images(node: ZarrNode, path: Path) -> Iterator[ZarrImage]:
    if isinstance(node, zarr.Array):
        yield ZarrImage("", {}, None, (("", node),))
        return
    attributes = ome_attributes(node)
    _refuse_plate(attributes, path)
    if "bioformats2raw.layout" in attributes:
        names = _names(path)
        for index, place in enumerate(_series(node)):
            group = node[place]
            if not isinstance(group, zarr.Group):
                raise DamagedSlideError(f"{path}: series {place!r} is not a group")
            yield from _of_group(group, f"{place}/", path, names[index] if index < len(names) else "")
        return
    found = list(_of_group(node, "", path, ""))
    if not found:
        raise UnsupportedSlideError(f"{path}: a Zarr group without OME multiscales metadata is not a slide")
    yield from found


def _refuse_plate(attributes: Mapping[str, Any], path: Path) -> None:
    for kind, parts in (("plate", "wells"), ("well", "images")):
        if isinstance(attributes.get(kind), Mapping):
            places = [str(part.get("path")) for part in attributes[kind].get(parts, ()) if isinstance(part, Mapping)]
            there = f"; it holds {', '.join(places[:4])}{' ...' if len(places) > 4 else ''}" if places else ""
            raise UnsupportedSlideError(
                f"{path}: a {kind} of a high-content screen is not a slide{there}; name the folder of one image in it"
            )


def _series(group: zarr.Group) -> list[str]:
    """Places of bioformats2raw's images: listed in the group OME, or by numbers."""
    if "OME" in group and isinstance(ome := group["OME"], zarr.Group) and (listed := ome_attributes(ome).get("series")):
        return [str(place) for place in listed]
    places = []
    for place in map(str, range(_MAX_SERIES)):
        if place not in group:
            break
        places.append(place)
    return places or ["0"]


def _names(path: Path) -> list[str]:
    """What bioformats2raw's XML calls the images, in their order."""
    try:
        root = parse_ome((path / "OME" / "METADATA.ome.xml").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []
    return [] if root is None else [image.get("Name", "") for image in root.findall("{*}Image")]


def _of_group(group: zarr.Group, place: str, path: Path, name: str) -> Iterator[ZarrImage]:
    attributes = ome_attributes(group)
    for multiscale in read_multiscales(attributes):
        arrays = []
        for dataset in multiscale.paths:
            array = group[dataset]
            if not isinstance(array, zarr.Array):
                raise DamagedSlideError(f"{path}: level {dataset!r} is not an array")
            arrays.append((dataset, array))
        kept, notes = _without_contradictions(multiscale, arrays, place, path)
        yield ZarrImage(name or multiscale.name, attributes, multiscale, tuple(kept), tuple(notes))


def _without_contradictions(
    multiscale: Multiscale, arrays: Sequence[tuple[str, zarr.Array[Any]]], place: str, path: Path
) -> tuple[list[tuple[str, zarr.Array[Any]]], list[str]]:
    """The levels that are reductions of the first, by their sizes and by what they state; and notes of the others."""
    kept, notes = [arrays[0]], []
    try:
        stored = [
            _stored_level(multiscale.axes, array, stated)
            for (_, array), stated in zip(arrays, multiscale.stated_by_levels, strict=True)
        ]
    except SlideError:  # Reported where the image is opened.
        return list(arrays), []
    level0, sizes = stored[0], {stored[0].size}
    for array, level in zip(arrays[1:], stored[1:], strict=True):
        if level.size[0] > level0.size[0] or level.size[1] >= level0.size[1]:
            raise DamagedSlideError(f"{path}: levels of {level0.size} and {level.size} px do not make a pyramid")
        reason = "there is a level of that size" if level.size in sizes else why_no_reduction(level, level0)
        if reason is None:
            kept.append(array)
            sizes.add(level.size)
        else:
            notes.append(f"level {place}{array[0]} of {level.size[1]} x {level.size[0]} px is left out: {reason}")
    return sorted(kept, key=lambda one: -prod(_stored_level(multiscale.axes, one[1]).size)), notes


def _levels(image: ZarrImage) -> tuple[Level, ...]:
    if image.multiscale is None:
        return plan_levels([_stored_level(image.axes, array) for _, array in image.arrays])
    stated = dict(zip(image.multiscale.paths, image.multiscale.stated_by_levels, strict=True))
    return plan_levels([_stored_level(image.axes, array, stated[place]) for place, array in image.arrays])


def _stored_level(axes: tuple[str, ...], array: zarr.Array[Any], stated: Stated = None) -> StoredLevel:
    """An array as what may be a level; it may be filled up to whole chunks."""
    row, col, _ = plan_axes(axes, array.shape, "level", channels=None)
    size, chunk = ((int(sides[row]), int(sides[col])) for sides in (array.shape, array.chunks))
    return StoredLevel(size, chunk, stated)
