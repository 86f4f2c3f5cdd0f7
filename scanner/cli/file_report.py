"""What is in a slide's file, for programs and in words; and what a scan of it would look at. Imports without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.card import ModelCard
from scanner.geometry.frames import plan_frame
from scanner.settings import ScanSettings, tile_side
from scanner.slides import FileContents, ImageInfo, ImageKind
from scanner.slides.metadata.contents import describe_image
from scanner.slides.second_opinion import lines_of_opinion, second_opinion_on

#: Grid pixels that are called a megapixel.
MEGAPIXEL = 1e6


def describe_contents(contents: FileContents, card: ModelCard) -> dict[str, Any]:
    """A file as JSON: its images, each with its levels and the extent of its scan by that model, and notes."""
    return {
        "path": str(contents.path),
        "format": contents.format,
        "reader": contents.reader,
        "icc": "present" if contents.has_icc else "absent",
        "images": [describe_image(image) | {"scan": describe_extent(image, card)} for image in contents.images],
        "notes": list(contents.notes),
    }


def describe_opinion(path: Path) -> dict[str, Any]:
    """What OpenSlide takes differently from a file, as JSON and in words; how much of it no known error explains."""
    differences = second_opinion_on(path)
    return {
        "check": None if differences is None else [asdict(difference) for difference in differences],
        "opinion": lines_of_opinion(differences),
        "unexplained": sum(not difference.explained for difference in differences or ()),
    }


def describe_extent(image: ImageInfo, card: ModelCard) -> dict[str, Any] | None:
    """The grid that a scan of the whole image would have, and its tiles; None of what is not scanned.

    That is the most a scan can take: it leaves glass out. Finding the tissue takes reading the slide (`--dry-run`).
    """
    if image.kind is not ImageKind.IMAGE or image.problem or not image.levels:
        return None
    level0, stride = image.levels[0], card.stride
    frame = plan_frame((level0.height, level0.width), image.mpp or card.mpp, card.mpp, stride)
    side = tile_side(ScanSettings(), stride)
    return {
        "model": card.name,
        "mpp": frame.grid_mpp,
        "width": frame.grid_width,
        "height": frame.grid_height,
        "tiles": -(-frame.grid_height // side) * -(-frame.grid_width // side),
        "area_mm2": frame.area_mm2,
    }


def lines_of(content: dict[str, Any]) -> Iterator[str]:
    """A described file in words, a line each."""
    icc = "" if content["icc"] == "absent" else ", with an ICC profile"
    yield f"{content['path']}: {content['format']}, read by {content['reader']}{icc}"
    for image in content["images"]:
        yield f"  {_headline(image)}"
        for level in image["levels"][1:]:
            stated = "" if level["mpp"] is None else f", states {level['mpp']:.4g} um/px"
            yield f"    level: {level['width']} x {level['height']} px, downsample {level['downsample']:.6g}{stated}"
        if image["problem"]:
            yield f"    cannot be scanned as it is: {image['problem']}"
        if extent := image["scan"]:
            pixels = extent["width"] * extent["height"] / MEGAPIXEL
            yield (
                f"    scan by {extent['model']}: at most {extent['area_mm2']:.4g} mm2, {pixels:.4g} megapixels at "
                f"{extent['mpp']:.4g} um/px, {extent['tiles']} tiles"
            )
    for note in content["notes"]:
        yield f"  note: {note}"
    for line in content.get("opinion", ()):
        yield f"  check: {line}"


def _headline(image: dict[str, Any]) -> str:
    name = f" {image['name']!r}" if image["name"] else ""
    what = [] if image["kind"] == ImageKind.IMAGE else [image["kind"]]
    if image["levels"]:
        what.append(f"{image['width']} x {image['height']} px")
    if image["mpp"] is not None:
        what.append(f"{image['mpp']:.6g} um/px ({image['mpp_source']})")
    elif not image["problem"]:
        what.append("mpp is not stated")
    if image["channels"]:
        what.append(f"{image['channels']} channel{'s' if image['channels'] != 1 else ''}")
    return f"image {image['index']}{name}: {', '.join(what)}"
