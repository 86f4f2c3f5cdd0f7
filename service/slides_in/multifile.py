"""Slides in several files: files that came as a zip or a folder are arranged as the slide readers expect them.

Clients' paths never become paths here. Files of MIRAX and VMS refer to each other, so they keep their names, without
folders, in a folder of the slide's own; DICOM files are numbered.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scanner.errors import DamagedSlideError, UnsupportedSlideError

#: Files of one slide at most; a MIRAX slide has about fifty, a DICOM series some hundred.
MAX_FILES = 5_000
#: Suffix of a slide's main file -> True if the others are in a folder of its name, False if beside it.
MAIN_FILES = {".mrxs": True, ".vms": False}
#: Most bytes of the index in which such a slide lists its files; usual are a few kilobytes.
MAX_LIST = 1 << 20
#: File names of scanners may have commas, brackets and the slide's name, but no unprintable characters.
_MAX_NAME_BYTES = 200
#: Files that file managers and DICOM exports leave beside the slide.
_CLUTTER = re.compile(r"(^|/)(__MACOSX/.*|\.[^/]*|Thumbs\.db|desktop\.ini|DICOMDIR)$", re.IGNORECASE)
_DICOM_HEAD = slice(128, 132)


class BadNameError(ValueError):
    """A file name within an archive or folder is not valid."""


@dataclass(frozen=True)
class ReceivedFile:
    """One of several files, stored under our own name, with the client's name for it."""

    #: With "/" between folders.
    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Assembled:
    """A slide whose files have been arranged."""

    #: Hash of all its files: of their bytes, and of their names where those matter.
    sha256: str
    suffix: str


def checked_name(name: str) -> str:
    """The name of a file within an archive or folder.

    Raises
    ------
    BadNameError
        It leads out of the slide's folder, or is not a name.
    """
    name = name.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if not parts or len(name) > 1024 or name.startswith("/") or ":" in parts[0] or {"..", "."} & set(name.split("/")):
        raise BadNameError(f"{name[:80]!r} is not a valid name for a file of a slide")
    if any(ord(character) < 32 for character in name):
        raise BadNameError("a file name contains control characters")
    return "/".join(parts)


def is_clutter(name: str) -> bool:
    """True for files that do not belong to the slide, such as those of file managers."""
    return _CLUTTER.search(name) is not None


def assemble(files: Iterable[ReceivedFile], uploads: Path) -> Assembled:
    """Move the files of one slide to their place in `uploads`.

    Raises
    ------
    UnsupportedSlideError
        They are not one slide.
    DamagedSlideError
        A file is missing.
    """
    wanted = [file for file in files if not is_clutter(file.name)]
    main_files = [file for file in wanted if PurePosixPath(file.name).suffix.lower() in MAIN_FILES]
    if len(main_files) == 1:
        suffix = PurePosixPath(main_files[0].name).suffix.lower()
        layout = _lay_out_with_main_file(main_files[0], wanted, suffix)
    elif not main_files and wanted and all(_is_dicom(file.path) for file in wanted):
        suffix = ".dcm"
        layout = _lay_out_series(wanted)
    else:
        raise UnsupportedSlideError(
            f"{len(wanted)} files are not one slide: send one .mrxs or .vms with all its files, "
            "the DICOM files of one series, or a single file"
        )
    identity = "\n".join(f"{name} {file.sha256}" for name, file in sorted(layout.items()))
    sha256 = hashlib.sha256(identity.encode()).hexdigest()
    _move(layout, uploads / sha256)
    return Assembled(sha256, suffix)


def _lay_out_with_main_file(
    main_file: ReceivedFile, files: Sequence[ReceivedFile], suffix: str
) -> dict[str, ReceivedFile]:
    """Name in the slide's folder -> file, for a slide with a main file."""
    path = PurePosixPath(main_file.name)
    folder = path.with_suffix("") if MAIN_FILES[suffix] else path.parent
    others = [file for file in files if file is not main_file and PurePosixPath(file.name).parent == folder]
    if not others:
        raise DamagedSlideError(f"{path.name}: the other files of the slide are missing; send its folder too")
    layout = {f"slide{suffix}": main_file}
    for file in others:
        name = PurePosixPath(file.name).name
        if not _can_be_kept(name):
            raise UnsupportedSlideError(
                f"{name[:80]!r}: this file name is not accepted; rename the file, also in the slide's index"
            )
        layout[f"slide/{name}" if MAIN_FILES[suffix] else name] = file
    for name in (f"slide{suffix}", "slide/Slidedat.ini"):
        if name in layout and not name.endswith(".mrxs"):
            _check_references(layout[name].path)
    return layout


def _can_be_kept(name: str) -> bool:
    """True for names that a file may keep: printable, not hidden, and not one that we use ourselves."""
    is_text = name.isprintable() and len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME_BYTES
    return is_text and not name.startswith((".", "slide.")) and "\\" not in name


def _check_references(path: Path) -> None:
    """Refuse a slide's index that names files outside its folder: the slide reader would open them."""
    with path.open("rb") as file:
        text = file.read(MAX_LIST + 1)
    if len(text) > MAX_LIST:
        raise UnsupportedSlideError("the slide's index of files is too long")
    for line in re.split(rb"[\r\n]+", text):
        key, _, value = line.partition(b"=")
        names_a_file = b"file" in key.lower() or b"image" in key.lower()
        if names_a_file and (b"/" in value or b"\\" in value or value.strip() == b".."):
            raise UnsupportedSlideError(
                f"{line[:80].decode(errors='replace')!r} names a file outside the slide's folder"
            )


def _lay_out_series(files: Sequence[ReceivedFile]) -> dict[str, ReceivedFile]:
    """Name in the slide's folder -> file, for DICOM files: their names mean nothing, so they are ordered by hash."""
    ordered = sorted({file.sha256: file for file in files}.values(), key=lambda file: file.sha256)
    return {("slide.dcm" if number == 0 else f"{number:04}.dcm"): file for number, file in enumerate(ordered)}


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[_DICOM_HEAD] == b"DICM"


def _move(layout: dict[str, ReceivedFile], place: Path) -> None:
    """Move the files to their place, all or none."""
    growing = next(iter(layout.values())).path.parent / "slide"
    for name, file in layout.items():
        target = growing / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file.path, target)
    try:
        os.rename(growing, place)
    except OSError:  # The same slide is there already.
        if not place.is_dir():
            raise
        shutil.rmtree(growing, ignore_errors=True)
        os.utime(place)
