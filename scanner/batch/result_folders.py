"""The result folder of each slide of a batch: no two share one, on any file system."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

#: What a batch writes beside the result folders.
BATCH_FILES = frozenset({"batch.json", "batch.html"})
#: Bytes of a file's name at most, on nearly every file system.
MAX_NAME_BYTES = 255


class Placed(Protocol):
    """A slide that needs a result folder."""

    @property
    def path(self) -> Path:
        """Where the slide lies."""

    @property
    def kept(self) -> Path:
        """The part of the path that its results keep."""

    @property
    def place(self) -> Path | None:
        """Its result folder, where the user names it."""

    @property
    def image(self) -> int | None:
        """Index of the image of its file; None: the first that is no overview."""

    @property
    def is_further(self) -> bool:
        """Whether another image of the file has the slide's own name."""


def choose_places(slides: Sequence[Placed]) -> list[Path]:
    """A relative folder for each slide; only those that users have named may be the same.

    It is the slide's name without the last suffix. Slides that would share one keep their suffix; if they still would,
    the name of the folder they lie in; and if they still would (names that differ in case, in how an umlaut is stored,
    or in dots at their end), they get a hash of their name, or of their path, which no other slide changes. The first
    image of a file has that name, and each further one the same with its number.
    """
    longer: list[Callable[[Placed], Path]] = [
        lambda slide: _numbered(slide.kept, slide),
        lambda slide: _numbered(_below_parent(slide), slide),
        lambda slide: _below_parent(slide) if slide.image is None else _numbered(_short(slide), slide, always=True),
        lambda slide: _numbered(_marked(slide.kept, os.fsencode(slide.kept)), slide, always=True),
        lambda slide: _numbered(_marked(slide.kept, os.fsencode(slide.path.absolute())), slide, always=True),
    ]
    places = [_numbered(slide.place or _short(slide), slide) for slide in slides]
    for name in longer:
        shared = {place for place, uses in Counter(map(place_key, places)).items() if uses > 1}
        places = [
            name(slide) if slide.place is None and place_key(place) in shared else place
            for slide, place in zip(slides, places, strict=True)
        ]
    return places


def place_key(place: Path) -> str:
    """The same for two folders that are one on some file system."""
    text = unicodedata.normalize("NFC", os.fsencode(place).decode("utf-8", "surrogateescape"))
    return "/".join(part.rstrip(" .") for part in unicodedata.normalize("NFC", text.casefold()).split("/"))


def _numbered(place: Path, slide: Placed, *, always: bool = False) -> Path:
    """The folder with the number of the image, where the slide's name is another image's."""
    is_numbered = slide.image is not None and (slide.is_further or always)
    return place.with_name(f"{place.name}-image-{slide.image}") if is_numbered else place


def _below_parent(slide: Placed) -> Path:
    return Path(slide.path.absolute().parent.name) / slide.kept


def _short(slide: Placed) -> Path:
    """The slide's name without its last suffix."""
    kept, stem = slide.kept, slide.kept.stem
    # "..tif" without its suffix is a folder above; and what a batch writes is no folder.
    if not stem.strip(".") or (stem.casefold() in BATCH_FILES and len(kept.parts) == 1):
        return kept
    return kept.with_name(stem)


def _marked(kept: Path, identity: bytes) -> Path:
    """The name with a hash behind it, cut where it would be too long."""
    mark = f"~{hashlib.sha256(identity).hexdigest()[:8]}"
    name = os.fsencode(kept.name)[: MAX_NAME_BYTES - len(mark)]
    return kept.with_name(os.fsdecode(name) + mark)
