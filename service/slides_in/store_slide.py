"""Storing slides: a request's body is streamed to disk under a size limit, and hashed on the way.

A stored slide is at uploads/<SHA-256>/slide<suffix>, its further files beside it: a client's file name never becomes a
path.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

from anyio import CancelScope, to_thread

from scanner.errors import UnsupportedSlideError
from service.access.limits import Allowance, TooLargeError, require_disk
from service.problems import ReportedError
from service.settings import Settings
from service.slides_in.archives import is_archive, unpack
from service.slides_in.image_headers import Header, read_header
from service.slides_in.multifile import MAIN_FILES, MAX_FILES, BadNameError, ReceivedFile, assemble, checked_name
from service.slides_in.multipart import BadRequestError, Multipart, form_file
from service.slides_in.sink import FileSink

#: Characters of a slide's or a case's name, as it is shown.
MAX_NAME = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")


class EmptyUploadError(ReportedError):
    """The upload has no bytes."""

    problem_type = "empty-upload"


@dataclass(frozen=True)
class StoredSlide:
    """A slide on the server's disk."""

    #: Relative to the data folder if it was uploaded, absolute otherwise.
    path: str
    sha256: str
    name: str
    header: Header


class Sink:
    """A temporary folder for the files of a body, under one allowance, which becomes a stored slide."""

    def __init__(self, settings: Settings, allowance: Allowance) -> None:
        self._settings = settings
        self._allowance = allowance
        self.size = 0
        self._folder = incoming_folder(settings) / uuid.uuid4().hex
        self._folder.mkdir(parents=True)
        self._files: list[tuple[str, FileSink]] = []

    async def __aenter__(self) -> Sink:
        return self

    async def __aexit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        for _, file in self._files:
            file.abandon()
        with CancelScope(shield=True):  # Also when the client has disconnected.
            await to_thread.run_sync(partial(shutil.rmtree, self._folder, ignore_errors=True))

    async def begin(self, name: str) -> None:
        """Begin the next file; what is written from now on goes to it."""
        await to_thread.run_sync(self._finish_file)
        if len(self._files) >= MAX_FILES:
            raise TooLargeError(f"a slide has at most {MAX_FILES} files")
        self._files.append((name, FileSink(self._folder / f"{len(self._files):05}", self._settings)))

    async def write(self, chunk: bytes) -> None:
        """Append bytes to the current file; TooLargeError or QuotaExceededError beyond the allowance."""
        self.size += len(chunk)
        self._allowance.require(self.size)
        await self._files[-1][1].write(chunk)

    def store(self) -> StoredSlide:
        """Check the slide and move it to its place."""
        self._finish_file()
        if self.size == 0:
            raise EmptyUploadError("the upload has no bytes")
        files = [ReceivedFile(name, file.path, file.digest.hexdigest()) for name, file in self._files]
        if len(files) == 1:
            return store_file(files[0], self._settings)
        try:
            named = [replace(file, name=checked_name(file.name)) for file in files]
        except BadNameError as error:
            raise BadRequestError(str(error)) from error
        return _store_several(named, files[0].name, self._settings)

    def _finish_file(self) -> None:
        if self._files:
            self._files[-1][1].close()


def incoming_folder(settings: Settings) -> Path:
    """Folder of bodies that are still being received."""
    return settings.uploads / "incoming"


def store_file(file: ReceivedFile, settings: Settings) -> StoredSlide:
    """Move a file to its place: a slide, or a zip with the files of one."""
    if is_archive(file.path):
        return _store_archive(file, settings)
    # A lone .mrxs is also a valid small JPEG, and must not be stored as one.
    if Path(file.name).suffix.lower() in MAIN_FILES:
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
            raise UnsupportedSlideError("a zip inside a zip is not unpacked")
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
    # The main file does not have the slide's size: that of a MIRAX is a small JPEG.
    if path.suffix.lower() in MAIN_FILES:
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


def is_sha256(name: str) -> bool:
    """True if the name has the form of a stored slide's id."""
    return _SHA256.fullmatch(name) is not None


def stored_size(slide: StoredSlide, settings: Settings) -> int:
    """Bytes of a stored slide, all its files together."""
    return folder_size((settings.data.resolve() / slide.path).parent)


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder; files that are removed meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


async def receive_raw(
    stream: AsyncIterable[bytes], settings: Settings, *, allowance: Allowance, name: str = "upload"
) -> StoredSlide:
    """Store the slide that is a request's whole body."""
    async with Sink(settings, allowance) as sink:
        await sink.begin(name)
        async for chunk in stream:
            await sink.write(chunk)
        return await to_thread.run_sync(sink.store)


async def receive_form(
    stream: AsyncIterable[bytes], settings: Settings, *, allowance: Allowance, content_type: str
) -> StoredSlide:
    """Store the slide in the field `file` of a multipart body, or its files if there are several such fields."""
    return await receive_files(stream, settings, allowance=allowance, body=Multipart(content_type, form_file))


async def receive_files(
    stream: AsyncIterable[bytes], settings: Settings, *, allowance: Allowance, body: Multipart
) -> StoredSlide:
    """Store the slide whose files, one or several, come in a multipart body."""
    async with Sink(settings, allowance) as sink:
        async for chunk in stream:
            for piece in body.feed(chunk):
                if isinstance(piece, str):
                    await sink.begin(piece)
                else:
                    await sink.write(piece)
        if not body.is_complete:
            raise BadRequestError("multipart body: ends early, or has no file")
        return await to_thread.run_sync(sink.store)


def clean_name(name: str) -> str:
    """A client's file name, made safe to show: its last component, printable characters only, at most MAX_NAME."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable())
    return printable[-MAX_NAME:] or "upload"
