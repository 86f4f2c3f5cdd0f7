"""Which file masks a slide, and what it holds: text with outlines, or a picture."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from scanner.errors import MaskError, SettingsError
from scanner.files.regular_files import is_regular, open_regular
from scanner.files.result_names import TISSUE_NAME
from scanner.files.texts import GZIP, decode, read_content

PICTURE_SUFFIXES = (".png", ".tif", ".tiff")
GEOJSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")
#: Bytes that tell text from a picture.
_HEAD_BYTES = 64
_BLOCK = 1 << 20
#: How a file may bear a slide's name, the surest first: exactly, by another way to store umlauts, but for the case.
_LIKENESSES: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()),
)


def find_mask(mask: Path, slide: Path, *, image: int | None = None) -> Path:
    """The file that masks a slide: `mask` itself, or the one in that folder which bears the slide's name.

    That is the name with its last suffix, where there is such a file, or else without it. Of another image of its file
    than the first it ends in "-image-N", as its result folder's does.

    Raises
    ------
    MaskError
        The folder cannot be read, or holds none, or several.
    """
    if not mask.is_dir():
        return mask
    further = "" if image is None else f"-image-{image}"
    try:
        names = sorted(path.name for path in mask.iterdir())
    except OSError as error:
        raise MaskError(f"{mask}: {error.strerror}") from error
    found: list[Path] = []
    for name in (slide.name + further, slide.stem + further):
        for likeness in _LIKENESSES:
            found = found or [path for path in _named(mask, names, name, likeness) if not _is_same(path, slide)]
    if len(found) != 1:
        none = f"none named {slide.stem}{further}.geojson, .geojson.gz, .png or .tif"
        reason = " and ".join(path.name for path in found) or none
        raise MaskError(f"{mask}: needs one mask for {slide.name}, holds {reason}")
    return found[0]


def describe_mask(mask: Path | None, slide: Path, *, image: int | None = None) -> dict[str, str] | None:
    """Name and SHA-256 of the file that masks a slide; None if there is none. Where it lies does not matter."""
    if mask is None:
        return None
    path = find_mask(mask, slide, image=image)
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise MaskError(f"{path}: {error.strerror or error}") from error
    return {"name": path.name, "sha256": digest.hexdigest()}


def read_outlines(path: Path) -> bytes | None:
    """The GeoJSON in a mask's file, unpacked; None if it holds something else, as a picture is.

    Raises
    ------
    MaskError
        The file cannot be read, or holds something else, packed.
    """
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
        is_packed = head.startswith(GZIP)
        if not (is_packed or _begins_as_json(head)):
            return None
        content = read_content(path)
    except OSError as error:
        raise MaskError(f"{path}: {error.strerror or error}") from error
    except SettingsError as error:
        raise MaskError(str(error)) from error
    if is_packed and not _begins_as_json(content[:_HEAD_BYTES]):
        raise MaskError(f"{path}: packed, and no GeoJSON; unpack a picture first")
    return content


def _begins_as_json(head: bytes) -> bool:
    for cut in (head, head[:-2]):  # A letter of two halves may lie across the end.
        with suppress(ValueError):
            return decode(cut).lstrip()[:1] in ("{", "[")
    return False


def _named(folder: Path, names: list[str], name: str, likeness: Callable[[str], str]) -> list[Path]:
    """The files of a folder that bear a name, and the tissue of the results in the folder of that name."""
    wanted = {likeness(name + suffix) for suffix in (*GEOJSON_SUFFIXES, *PICTURE_SUFFIXES)}
    files = [folder / known for known in names if likeness(known) in wanted]
    files += [folder / known / TISSUE_NAME for known in names if likeness(known) == likeness(name)]
    return [path for path in files if is_regular(path)]


def _is_same(path: Path, slide: Path) -> bool:
    return slide.exists() and path.samefile(slide)
