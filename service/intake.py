"""Intake: a request's body, streamed to disk under a byte cap, hashed on its way.

A stored slide lies at uploads/<SHA-256>/slide<suffix>, its further files beside it: no client's file name becomes a
path.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from anyio import to_thread

from scanner.errors import UnsupportedSlideError
from service.archives import is_archive, unpack
from service.forms import BadRequestError, Form
from service.headers import Header, read_header
from service.limits import TooLargeError, require_disk
from service.multifile import LEADERS, MAX_FILES, BadNameError, ReceivedFile, assemble, checked_name
from service.settings import Settings

#: Bytes gathered before a write leaves for a thread.
WRITE_SIZE = 1 << 20
MAX_NAME = 200


class EmptyUploadError(Exception):
    """There are no bytes."""


@dataclass(frozen=True)
class StoredSlide:
    """A slide that lies on the server's disk."""

    #: Relative to the data folder if it was uploaded, absolute otherwise.
    path: str
    sha256: str
    name: str
    header: Header


class Sink:
    """A temporary folder that takes the files of a body under one byte cap, and becomes a stored slide."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pending = bytearray()
        self.size = 0
        self._folder = settings.uploads / "incoming" / uuid.uuid4().hex
        self._folder.mkdir(parents=True)
        self._files: list[tuple[str, Path]] = []
        self._digests: list[Any] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._file:
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def begin(self, name: str) -> None:
        """What is written from now on is a file of this name."""
        self._finish_file()
        if len(self._files) >= MAX_FILES:
            raise TooLargeError(f"a slide has at most {MAX_FILES} files")
        path = self._folder / f"{len(self._files):05}"
        self._file = path.open("wb")
        self._files.append((name, path))
        self._digests.append(hashlib.sha256())

    async def write(self, chunk: bytes) -> None:
        """Take more bytes; TooLargeError beyond the cap."""
        self.size += len(chunk)
        if self.size > self._settings.max_upload_bytes:
            raise TooLargeError(f"the slide has more than {self._settings.max_upload_bytes} bytes")
        self._pending += chunk
        if len(self._pending) >= WRITE_SIZE:
            await to_thread.run_sync(self._flush)

    def store(self) -> StoredSlide:
        """Put the slide in its place, once it is known to be acceptable."""
        self._finish_file()
        if self.size == 0:
            raise EmptyUploadError("there are no bytes in it")
        files = [
            ReceivedFile(name, path, digest.hexdigest())
            for (name, path), digest in zip(self._files, self._digests, strict=True)
        ]
        if len(files) == 1:
            return store_file(files[0], self._settings)
        try:
            named = [replace(file, name=checked_name(file.name)) for file in files]
        except BadNameError as error:
            raise BadRequestError(str(error)) from error
        return _store_several(named, files[0].name, self._settings)

    def _flush(self) -> None:
        assert self._file
        self._digests[-1].update(self._pending)
        self._file.write(self._pending)
        self._pending.clear()

    def _finish_file(self) -> None:
        if self._file:
            self._flush()
            self._file.close()
            self._file = None


def store_file(file: ReceivedFile, settings: Settings) -> StoredSlide:
    """Move a file to its place: a slide, or a zip with the files of one."""
    if is_archive(file.path):
        return _store_archive(file, settings)
    if Path(file.name).suffix.lower() in LEADERS:  # Without its files it would pass for the small JPEG that it also is.
        return _store_several([replace(file, name=clean_name(file.name))], file.name, settings)
    header = check_header(file.path, settings)
    place = settings.uploads / file.sha256 / f"slide{header.suffix}"
    place.parent.mkdir(exist_ok=True)
    os.replace(file.path, place)
    return StoredSlide(_relative(place, settings), file.sha256, clean_name(file.name), header)


def _store_archive(file: ReceivedFile, settings: Settings) -> StoredSlide:
    with tempfile.TemporaryDirectory(dir=file.path.parent) as folder:
        files = unpack(
            file.path,
            Path(folder),
            max_bytes=settings.max_upload_bytes,
            require_space=partial(require_disk, settings),
        )
        if len(files) != 1:
            return _store_several(files, file.name, settings)
        if is_archive(files[0].path):
            raise UnsupportedSlideError("a zip within a zip is not unpacked")
        return store_file(files[0], settings)


def _store_several(files: list[ReceivedFile], name: str, settings: Settings) -> StoredSlide:
    assembled = assemble(files, settings.uploads)
    place = settings.uploads / assembled.sha256 / f"slide{assembled.suffix}"
    shown = clean_name(name.replace("\\", "/").partition("/")[0])
    return StoredSlide(_relative(place, settings), assembled.sha256, shown, check_header(place, settings))


def _relative(place: Path, settings: Settings) -> str:
    return str(place.relative_to(settings.data.resolve()))


def check_header(path: Path, settings: Settings) -> Header:
    """The file's header, if its dimensions are acceptable."""
    if path.suffix.lower() in LEADERS:  # Such a file says nothing of the slide: of a MIRAX it is a small JPEG.
        return Header(path.suffix.lower(), None, None)
    header = read_header(path)
    if header.width is not None and header.height is not None:
        check_size(header.width, header.height, settings, is_plain=header.is_plain)
    return header


def check_size(width: int, height: int, settings: Settings, *, is_plain: bool = False) -> None:
    """TooLargeError if a slide has more level-0 pixels than is accepted."""
    limit = settings.max_field_pixels if is_plain else settings.max_pixels
    if width * height > limit or max(width, height) > settings.max_side:
        raise TooLargeError(f"{width} x {height} pixels are more than this service accepts")


async def receive_raw(stream: AsyncIterable[bytes], settings: Settings, *, name: str = "upload") -> StoredSlide:
    """The slide that a request's whole body is."""
    with Sink(settings) as sink:
        sink.begin(name)
        async for chunk in stream:
            await sink.write(chunk)
        return await to_thread.run_sync(sink.store)


async def receive_form(stream: AsyncIterable[bytes], content_type: str, settings: Settings) -> StoredSlide:
    """The slide in the field `file` of a multipart/form-data body, or its files, if the field comes several times."""
    form = Form(content_type)
    with Sink(settings) as sink:
        async for chunk in stream:
            for piece in form.feed(chunk):
                if isinstance(piece, str):
                    sink.begin(piece)
                else:
                    await sink.write(piece)
        if not form.is_complete:
            raise BadRequestError("multipart body: it ends early or has no field 'file'")
        return await to_thread.run_sync(sink.store)


def clean_name(name: str) -> str:
    """A client's file name, fit to be shown: its last component, printable, not too long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable())
    return printable[-MAX_NAME:] or "upload"
