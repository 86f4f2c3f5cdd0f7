"""Public images that ship inside installed packages: found at run time, opened, and compared with other readers.

`python -m tests.factories.public_images [FOLDER...]` prints the table of docs/reference/formats.md; a folder is a
package's unpacked sources.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openslide
import tifffile
from PIL import Image

from scanner.errors import SlideError
from scanner.slides import Slide
from scanner.slides.opening import open_image
from scanner.slides.pixels.colour import composite, eight_bits, rgb_from_grey

SUFFIXES = frozenset(
    ".tif .tiff .svs .ndpi .png .jpg .jpeg .bmp .webp .dcm .gif .jp2 .j2k .jxl .svg .pdf .ico .ppm .avif .czi".split()
)
#: An image of a larger file is left to other tests.
MAX_BYTES = 20_000_000
#: Library's text that must not be a message: representations, bare numbers.
_FOREIGN = re.compile(r"<[A-Z]\w*[.: ]|Traceback|object at 0x|: -?\d+$")


@dataclass(frozen=True)
class Verdict:
    """What became of an image: opened and equal to the oracle, or refused and why."""

    path: Path
    #: Why it was refused, without its path; empty if it was opened.
    refusal: str = ""
    #: Whose pixels it equals: "PIL", "tifffile", "OpenSlide"; empty if none of them reads it.
    oracle: str = ""


def packages() -> dict[str, list[Path]]:
    """Images of each installed package that has any."""
    site = Path(sysconfig.get_paths()["purelib"])
    found = {folder.name: images_in(folder) for folder in sorted(site.iterdir()) if folder.is_dir()}
    return {name: paths for name, paths in found.items() if paths}


def images_in(folder: Path) -> list[Path]:
    """Images below a folder, in the order of names."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and 0 < path.stat().st_size <= MAX_BYTES
    )


def judge(path: Path) -> Verdict:
    """Open an image, and compare it; AssertionError if it is neither right nor refused in our own words."""
    try:
        with open_image(path) as slide:
            return Verdict(path, oracle=_compare(slide))
    except SlideError as error:
        said = str(error)
        assert said.startswith(str(path)), f"{path}: not named in {said!r}"
        reason = said.removeprefix(str(path)).lstrip(": ")
        assert len(reason) > 10, f"{path}: {reason!r} says nothing"
        assert not _FOREIGN.search(reason), f"{path}: a library's text: {reason!r}"
        return Verdict(path, refusal=reason)


def _compare(slide: Slide) -> str:
    level = slide.levels[0]
    with suppress(SlideError):  # Damage of its own place: named, and unreadable area.
        pixels = slide.read(0, (0, 0, level.height, level.width))
        for name, expected in _oracles(slide.path, (level.height, level.width)):
            worst = np.abs(pixels.astype(int) - expected).max(initial=0)
            assert worst <= 1, f"{slide.path}: differs from {name} by {worst}"  # 1: how alpha is rounded.
            return name
    return ""


def _oracles(path: Path, size: tuple[int, int]) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Exception), tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                if (rgb := _rgb(page, size)) is not None:
                    yield "tifffile", rgb
        with suppress(Exception), Image.open(path) as image:
            if (image.height, image.width) == size:
                if image.mode.startswith("I"):
                    yield "PIL", rgb_from_grey(eight_bits(np.asarray(image).astype(np.uint16)))
                elif image.has_transparency_data:
                    yield "PIL", composite(np.asarray(image.convert("RGBA")))
                else:
                    yield "PIL", np.asarray(image.convert("RGB"))
        with suppress(Exception), openslide.OpenSlide(path) as slide:
            yield "OpenSlide", composite(np.asarray(slide.read_region((0, 0), 0, (size[1], size[0]))))


def _rgb(page: Any, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """The pixels of an RGB or grey page of that size; None of another one."""
    if (page.imagelength, page.imagewidth) != size or page.bitspersample not in (8, 16) or page.dtype.kind != "u":
        return None
    kind = tifffile.PHOTOMETRIC(page.photometric).name
    if kind == "MINISBLACK" and page.samplesperpixel == 1:
        return rgb_from_grey(eight_bits(page.asarray()))
    if kind == "RGB" and page.samplesperpixel == 3 and page.planarconfig == 1:
        return eight_bits(page.asarray())
    return None


def table(found: dict[str, list[Path]]) -> Iterator[str]:
    """Lines of Markdown: of each package its files, and what became of them."""
    yield "| package | files | opened, equal to PIL, tifffile or OpenSlide | opened alone | wrong | refused, and why |"
    yield "|---|---|---|---|---|---|"
    for name, paths in found.items():
        if not paths:
            continue
        verdicts = []
        for path in paths:
            try:
                verdicts.append(judge(path))
            except AssertionError as error:
                print(f"WRONG: {error}", file=sys.stderr)
        opened = [verdict for verdict in verdicts if not verdict.refusal]
        refused = Counter(_kind(verdict.refusal) for verdict in verdicts if verdict.refusal)
        why = "; ".join(f"{count} {reason}" for reason, count in refused.most_common(8))
        others = refused.total() - sum(count for _, count in refused.most_common(8))
        why += f"; {others} for other reasons" if others else ""
        wrong = len(paths) - len(verdicts)
        equal = sum(bool(verdict.oracle) for verdict in opened)
        yield f"| {name} | {len(paths)} | {equal} | {len(opened) - equal} | {wrong} | {why or '-'} |"


def _kind(refusal: str) -> str:
    """A refusal without what is of one file alone."""
    words = re.split(r"[;(]| is not read| is not a whole slide", refusal)[0]
    return re.sub(r"\d[\d,.]*", "N", words).strip(" :")


if __name__ == "__main__":
    folders = {Path(name).name: images_in(Path(name)) for name in sys.argv[1:]}
    print("\n".join(table(packages() | folders)))
