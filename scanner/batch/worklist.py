"""Which slides a batch scans, and where the results of each go."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from scanner.batch.result_folders import BATCH_FILES, choose_places, place_key
from scanner.files.printable import printable
from scanner.files.result_names import REPORT_NAME
from scanner.slides.dicom.header import series_of
from scanner.slides.files.companions import files_of_vms
from scanner.slides.files.magic import begins_as_slide
from scanner.slides.files.zarr_folder import is_zarr

#: What a folder is searched for; a file named on its own may have any suffix.
SLIDE_SUFFIXES = frozenset(
    ".svs .tif .tiff .btf .ndpi .mrxs .scn .bif .vms .vmu .czi .dcm .png .jpg .jpeg .webp .bmp".split()
)
#: Suffixes behind one of those, and why such a file cannot be read as it is.
_PACKED = "compressed, by its name; unpack it first"
_UNFINISHED = "an unfinished copy or download, by its name; finish it, or remove it"
_REFUSED = {
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar"), _PACKED),
    **dict.fromkeys((".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp"), _UNFINISHED),
}
#: Suffixes that do not name a format: none, or the end of a DICOM UID.
_UNTELLING = re.compile(r"|\.|\.[0-9]+")
#: In a folder that holds a scan, unfinished or complete.
_RESULT_MARKS = (REPORT_NAME, ".scan")


@dataclass(frozen=True)
class FoundSlide:
    """A slide, and the part of its path that its results keep: the folders below the one that was searched."""

    path: Path
    kept: Path
    #: Relative result folder, if the user names it; otherwise it is derived from `kept`.
    place: Path | None = None
    #: Micrometres per level-0 pixel, of this slide alone.
    mpp: float | None = None
    #: A mask that restricts the scan of this slide.
    mask: Path | None = None
    #: Index of the image of its file; None: the first that is no overview.
    image: int | None = None
    #: Whether another image of the file has the slide's own name.
    is_further: bool = False
    #: Why it cannot be scanned, where that is known without opening it.
    fault: str = ""


@dataclass(frozen=True)
class Job:
    """A slide, the folder for its results, and what holds for it alone."""

    slide: Path
    folder: Path
    mpp: float | None = None
    mask: Path | None = None
    #: Index of the image of its file; None: the first that is no overview.
    image: int | None = None
    #: Why it cannot be scanned; it fails with this message when its turn comes.
    fault: str = ""

    @property
    def name(self) -> str:
        """The slide's path, and which of its images it is."""
        return name_image(str(self.slide), self.image)


def name_image(slide: str, image: int | None) -> str:
    """A slide, and which of its images, where it is not the first."""
    return slide if image is None else f"{slide}, image {image}"


def find_slides(paths: Iterable[Path], *, recursive: bool = False) -> Iterator[FoundSlide]:
    """Slides to scan.

    A path to a file is taken as it is; a folder is searched for SLIDE_SUFFIXES, in the order of names, and for files
    without a suffix that begin as slides do. A folder of Zarr is one slide, and so are the files of a DICOM series,
    which has the name of the first of them. Hidden files, files that belong to a MIRAX or VMS slide, and the results of
    scans are no slides. What bears the name of a slide and is none (a folder, a packed slide, a copy that was broken
    off), a path that is not there, and a folder that cannot be read come back themselves: they fail by their name when
    their turn comes, and the others go on.

    Parameters
    ----------
    paths : iterable of Path
    recursive : bool
        Search folders below as well.

    Yields
    ------
    FoundSlide
    """
    seen: set[str] = set()
    for path in paths:
        if os.path.isdir(path) and not is_zarr(path):
            yield from _search(path, recursive, seen)
        else:
            yield FoundSlide(path, Path(path.name if path.name.strip(".") else os.path.basename(os.path.abspath(path))))


# os.path instead of Path: Path raises where a folder may not be read, and nothing may end the search.
def _search(folder: Path, recursive: bool, seen: set[str]) -> Iterator[FoundSlide]:
    """Slides of a folder; of those below as well, as deep as they go, each in the place of its name."""
    stack = [_look_into(folder, Path(), recursive, seen)]
    while stack:
        try:
            found = next(stack[-1], None)
        except OSError:
            found = None
        if found is None:
            stack.pop()
        elif isinstance(found, FoundSlide):
            yield found
        else:
            stack.append(_look_into(*found, recursive, seen))


def _look_into(folder: Path, kept: Path, recursive: bool, seen: set[str]) -> Iterator[FoundSlide | tuple[Path, Path]]:
    """Slides of one folder, and the folders below it that are to be searched."""
    # Links may lead to a folder twice, or back up.
    place = os.path.realpath(folder)
    if place in seen:
        return
    seen.add(place)
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        yield FoundSlide(folder, kept / folder.name)
        return
    parts = _parts_of_slides(entries)
    for entry in entries:
        if is_zarr(entry):
            yield FoundSlide(entry, kept / entry.name)
        elif not os.path.isdir(entry):
            if entry not in parts and (found := _file(entry, kept)):
                yield found
        elif _belongs_to_mirax(entry) or any(os.path.exists(entry / mark) for mark in _RESULT_MARKS):
            continue
        elif recursive:
            yield entry, kept / entry.name
        elif entry.suffix.lower() in SLIDE_SUFFIXES:
            yield FoundSlide(entry, kept / entry.name)


def _file(path: Path, kept: Path) -> FoundSlide | None:
    """A file as a slide, by its name or, if that tells nothing, by its first bytes; None if it is not one."""
    suffix, inner = path.suffix.lower(), Path(path.stem).suffix.lower()
    if reason := _REFUSED.get(suffix):
        is_slide = inner in SLIDE_SUFFIXES or inner == ".zarr"
        return FoundSlide(path, kept / path.name, fault=f"{path}: {reason}") if is_slide else None
    is_found = suffix in SLIDE_SUFFIXES or (_UNTELLING.fullmatch(suffix) and begins_as_slide(path))
    return FoundSlide(path, kept / path.name) if is_found else None


def _parts_of_slides(entries: list[Path]) -> set[Path]:
    """Files of a folder that belong to a slide whose name is another file's."""
    parts, series_seen = set(), set()
    for entry in entries:
        suffix = entry.suffix.lower()
        if entry.name.upper() == "DICOMDIR":  # The index of the files beside it.
            parts.add(entry)
        elif (suffix == ".dcm" or _UNTELLING.fullmatch(suffix)) and (series := series_of(entry)) is not None:
            if series in series_seen:
                parts.add(entry)
            series_seen.add(series)
        elif suffix == ".vms":
            parts.update(files_of_vms(entry))
    return parts


def _belongs_to_mirax(folder: Path) -> bool:
    return any(os.path.isfile(f"{folder}{suffix}") for suffix in (".mrxs", ".MRXS"))


def plan_jobs(slides: Iterable[FoundSlide], out: Path) -> list[Job]:
    """A result folder for each slide, in the order of `slides`; see `scanner.batch.result_folders`.

    A slide named twice is scanned once. Where a user names one folder for two slides, none of them is scanned: both
    fail by their names. So does a slide whose fault is known; it takes no place from others.
    """
    found = list(dict.fromkeys(slides))
    sound = [slide for slide in found if not slide.fault]
    place_of = dict(zip(sound, choose_places(sound), strict=True))
    uses = Counter(map(place_key, place_of.values()))
    found = [
        slide
        if slide.fault or (uses[place_key(place_of[slide])] == 1 and place_key(place_of[slide]) not in BATCH_FILES)
        else replace(slide, place=place_of[slide], fault=_refuse_place(slide, place_of))
        for slide in found
    ]
    places = [place_of.get(slide) or slide.place or slide.kept for slide in found]
    return [
        Job(slide.path, out / place, slide.mpp, slide.mask, slide.image, slide.fault)
        for slide, place in zip(found, places, strict=True)
    ]


def _refuse_place(slide: FoundSlide, place_of: dict[FoundSlide, Path]) -> str:
    """Why a slide cannot have its place."""
    place = place_of[slide]
    rivals = [
        str(other.path) for other, its in place_of.items() if other != slide and place_key(its) == place_key(place)
    ]
    reason = f"is also that of {' and '.join(rivals)}" if rivals else "is the name of a file that a batch writes"
    return f"{slide.path}: its result folder {printable(place)} {reason}; give each its own id"
