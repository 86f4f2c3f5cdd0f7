"""Intake: a request's body, streamed to disk under a byte cap, hashed on its way.

A stored slide lies at uploads/<SHA-256>/slide<suffix>: the client's file name never becomes a path.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from anyio import to_thread
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.headers import Header, read_header
from service.settings import Settings

#: Bytes gathered before a write leaves for a thread.
WRITE_SIZE = 1 << 20
#: A part's headers may be this long in all.
MAX_PART_HEADERS = 8192
MAX_NAME = 200
#: The form field that holds the slide.
FIELD = b"file"


class BadRequestError(Exception):
    """The body cannot be understood."""


class EmptyUploadError(Exception):
    """There are no bytes."""


class TooLargeError(Exception):
    """More bytes or pixels than the service accepts."""


@dataclass(frozen=True)
class StoredSlide:
    """A slide that lies on the server's disk."""

    #: Relative to the data folder if it was uploaded, absolute otherwise.
    path: str
    sha256: str
    name: str
    header: Header


class Sink:
    """A temporary file that takes the body, and becomes a stored slide."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hash = hashlib.sha256()
        self._pending = bytearray()
        self.size = 0
        folder = settings.uploads / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{uuid.uuid4().hex}.part"
        self._file: BinaryIO = self._path.open("wb")

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    async def write(self, chunk: bytes) -> None:
        """Take more bytes; TooLargeError beyond the cap."""
        self.size += len(chunk)
        if self.size > self._settings.max_upload_bytes:
            raise TooLargeError(f"the slide has more than {self._settings.max_upload_bytes} bytes")
        self._pending += chunk
        if len(self._pending) >= WRITE_SIZE:
            await to_thread.run_sync(self._flush)

    def store(self, name: str) -> StoredSlide:
        """Put the file in its place, once its header is known to be acceptable."""
        self._flush()
        self._file.close()
        if self.size == 0:
            raise EmptyUploadError("there are no bytes in it")
        header = check_header(self._path, self._settings)
        sha256 = self._hash.hexdigest()
        place = self._settings.uploads / sha256 / f"slide{header.suffix}"
        place.parent.mkdir(exist_ok=True)
        os.replace(self._path, place)
        return StoredSlide(str(place.relative_to(self._settings.data.resolve())), sha256, clean_name(name), header)

    def _flush(self) -> None:
        self._hash.update(self._pending)
        self._file.write(self._pending)
        self._pending.clear()


def check_header(path: Path, settings: Settings) -> Header:
    """The file's header, if its dimensions are acceptable."""
    header = read_header(path)
    if header.width is not None and header.height is not None:
        limit = settings.max_field_pixels if header.is_plain else settings.max_pixels
        longest = max(header.width, header.height)
        if header.width * header.height > limit or longest > settings.max_side:
            raise TooLargeError(f"{header.width} x {header.height} pixels are more than this service accepts")
    return header


async def receive_raw(stream: AsyncIterable[bytes], settings: Settings, *, name: str = "upload") -> StoredSlide:
    """The slide that a request's whole body is."""
    with Sink(settings) as sink:
        async for chunk in stream:
            await sink.write(chunk)
        return await to_thread.run_sync(sink.store, name)


async def receive_form(stream: AsyncIterable[bytes], content_type: str, settings: Settings) -> StoredSlide:
    """The slide in the field `file` of a multipart/form-data body."""
    form = _Form(content_type)
    with Sink(settings) as sink:
        try:
            async for chunk in stream:
                for piece in form.feed(chunk):
                    await sink.write(piece)
        except MultipartParseError as error:
            raise BadRequestError(f"multipart body: {error}") from error
        if not form.is_complete:
            raise BadRequestError("multipart body: it ends early or has no field 'file'")
        return await to_thread.run_sync(sink.store, form.filename)


def clean_name(name: str) -> str:
    """A client's file name, fit to be shown: its last component, printable, not too long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable())
    return printable[-MAX_NAME:] or "upload"


class _Form:
    """Finds the field `file` in a multipart body as it streams by; other fields are skipped, not kept."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        if not options.get(b"boundary"):
            raise BadRequestError("multipart body: the Content-Type names no boundary")
        self.filename = "upload"
        self.is_complete = False
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = b"", b""
        self._is_file, self._has_file = False, False
        self._pieces: list[bytes] = []
        self._parser = MultipartParser(
            options[b"boundary"],
            callbacks={
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes]:
        """The file's bytes within the next piece of the body."""
        self._parser.write(chunk)
        pieces, self._pieces = self._pieces, []
        return pieces

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._limit_headers()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._limit_headers()

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._is_file = options.get(b"name") == FIELD
        if self._is_file and self._has_file:
            raise BadRequestError("multipart body: the field 'file' comes twice")
        if self._is_file:
            self._has_file = True
            self.filename = options.get(b"filename", b"upload").decode("utf-8", "replace")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self.is_complete = self._has_file

    def _limit_headers(self) -> None:
        size = len(self._field) + len(self._value) + sum(len(k) + len(v) for k, v in self._headers.items())
        if size > MAX_PART_HEADERS:
            raise BadRequestError("multipart body: a part's headers are too long")
