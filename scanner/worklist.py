"""Which slides a batch scans, and where the results of each go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import SettingsError
from scanner.exports.names import REPORT_NAME
from scanner.slides.dicom_header import series_of
from scanner.slides.zarr_folder import is_zarr

#: What a folder is searched for; a file named on its own may have any suffix.
SLIDE_SUFFIXES = frozenset(
    ".svs .tif .tiff .btf .ndpi .mrxs .scn .bif .vms .vmu .dcm .png .jpg .jpeg .webp .bmp".split()
)


@dataclass(frozen=True)
class FoundSlide:
    """A slide, and the part of its path that its results keep: the folders below the one that was searched."""

    path: Path
    kept: Path
    #: Result folder, relative, where the user names it; else it follows from `kept`.
    place: Path | None = None
    #: Micrometres per level-0 pixel, of this slide alone.
    mpp: float | None = None
    #: A mask that restricts the scan of this slide.
    mask: Path | None = None
    #: Index of the image of its file; None: the first that is no overview.
    image: int | None = None
    #: Whether another image of the file has the slide's own name.
    is_further: bool = False


@dataclass(frozen=True)
class Job:
    """A slide, the folder for its results, and what holds for it alone."""

    slide: Path
    folder: Path
    mpp: float | None = None
    mask: Path | None = None
    #: Index of the image of its file; None: the first that is no overview.
    image: int | None = None

    @property
    def name(self) -> str:
        """The slide's path, and which of its images it is."""
        return name_image(str(self.slide), self.image)


def name_image(slide: str, image: int | None) -> str:
    """A slide, and which of its images, where it is not the first."""
    return slide if image is None else f"{slide}, image {image}"


def find_slides(paths: Iterable[Path], *, recursive: bool = False) -> Iterator[FoundSlide]:
    """Slides to scan.

    A path to a file is taken as it is; a folder is searched for SLIDE_SUFFIXES, in the order of names. A folder of Zarr
    is one slide, and so are the files of a DICOM series, which has the name of the first of them. Hidden files, files
    that belong to a MIRAX or VMS slide, and the results of scans are no slides. A path that is not there, or a folder
    that cannot be read, comes back itself: it fails by its name when its turn comes, and the others go on.

    Parameters
    ----------
    paths : iterable of Path
    recursive : bool
        Search folders below as well.

    Yields
    ------
    FoundSlide
    """
    seen: set[Path] = set()
    for path in paths:
        if os.path.isdir(path) and not is_zarr(path):
            yield from _search(path, Path(), recursive, seen)
        else:
            yield FoundSlide(path, Path(path.name))


# os.path and not Path looks here: Path raises where a folder may not be read, and nothing may end the search.
def _search(folder: Path, kept: Path, recursive: bool, seen: set[Path]) -> Iterator[FoundSlide]:
    # Links may lead to a folder twice, or back up.
    place = folder.resolve()
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
        if not os.path.isdir(entry):
            if entry.suffix.lower() in SLIDE_SUFFIXES and entry not in parts:
                yield FoundSlide(entry, kept / entry.name)
        elif is_zarr(entry):
            yield FoundSlide(entry, kept / entry.name)
        elif recursive and not _belongs_to_mirax(entry) and not os.path.isfile(entry / REPORT_NAME):
            yield from _search(entry, kept / entry.name, recursive, seen)


def _parts_of_slides(entries: list[Path]) -> set[Path]:
    """Files of a folder that belong to a slide whose name is another file's."""
    parts, series_seen = set(), set()
    for entry in entries:
        suffix = entry.suffix.lower()
        if suffix == ".dcm" and (series := series_of(entry)) is not None:
            if series in series_seen:
                parts.add(entry)
            series_seen.add(series)
        elif suffix == ".vms":
            parts.update(_named_by_vms(entry))
    return parts


def _named_by_vms(path: Path) -> set[Path]:
    """The pictures that a VMS file names: its pixels, its overview, its label."""
    with suppress(OSError):
        lines = path.read_text(encoding="latin-1").splitlines()
        return {
            path.with_name(line.partition("=")[2].strip() or path.name)
            for line in lines
            if "File" in line or "Image" in line
        }
    return set()


def _belongs_to_mirax(folder: Path) -> bool:
    return any(os.path.isfile(f"{folder}{suffix}") for suffix in (".mrxs", ".MRXS"))


def plan_jobs(slides: Iterable[FoundSlide], out: Path) -> list[Job]:
    """A result folder for each slide, in the order of `slides`.

    It is the slide's name without the last suffix; slides that would share a folder keep their suffix, and if they
    still would, the name of the folder they lie in. A slide named twice is scanned once. The first image of a file has
    that name, and each further one the same with its number.

    Raises
    ------
    SettingsError
        Two slides would share a folder all the same.
    """
    found = list(dict.fromkeys(slides))
    longer: list[Callable[[FoundSlide], Path]] = [
        lambda slide: _numbered(slide.kept, slide),
        lambda slide: _numbered(slide.path.absolute().parent.name / slide.kept, slide),
        lambda slide: _numbered(slide.kept.with_suffix(""), slide, always=True),
    ]
    places = [_numbered(slide.place or slide.kept.with_suffix(""), slide) for slide in found]
    for name in longer:
        shared = _shared(places)
        places = [
            name(slide) if slide.place is None and _key(place) in shared else place
            for slide, place in zip(found, places, strict=True)
        ]
    if shared := _shared(places):
        rivals = [str(slide.path) for slide, place in zip(found, places, strict=True) if _key(place) in shared]
        raise SettingsError(
            f"the results of {' and '.join(rivals)} would share a folder; scan them into different ones"
        )
    return [
        Job(slide.path, out / place, slide.mpp, slide.mask, slide.image)
        for slide, place in zip(found, places, strict=True)
    ]


def _numbered(place: Path, slide: FoundSlide, *, always: bool = False) -> Path:
    """The folder with the number of the image, where the slide's name is another image's."""
    is_numbered = slide.image is not None and (slide.is_further or always)
    return place.with_name(f"{place.name}-image-{slide.image}") if is_numbered else place


def _shared(places: list[Path]) -> set[str]:
    return {place for place, uses in Counter(map(_key, places)).items() if uses > 1}


def _key(place: Path) -> str:
    # Folders whose names differ in case only are one folder on some file systems.
    return str(place).casefold()
