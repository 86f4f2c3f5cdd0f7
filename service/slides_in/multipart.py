"""Multipart bodies: finds the files in one while it is being received."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.problems import ReportedError

#: Most bytes of a part's headers.
MAX_PART_HEADERS = 8192
#: The form field that holds the slide.
FIELD = b"file"
#: Name of a file that comes without one.
UNNAMED = "upload"
#: `filename*=UTF-8''M%C3%BCller.svs` (RFC 5987), which some clients send for names that are not ASCII.
_EXTENDED = re.compile(rb";\s*filename\*\s*=\s*\"?([A-Za-z0-9_-]+)'[^']*'([^;\s\"]+)", re.IGNORECASE)


class BadRequestError(ReportedError):
    """The request cannot be parsed."""

    problem_type = "bad-request"


class Multipart:
    """Finds the files in a multipart body while it is being received; `name_of` says which parts are files."""

    def __init__(self, content_type: str, name_of: Callable[[Mapping[bytes, bytes]], str | None]) -> None:
        _, options = parse_options_header(content_type)
        if not options.get(b"boundary"):
            raise BadRequestError("multipart body: the Content-Type has no boundary")
        self.is_complete = False
        self._name_of = name_of
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = b"", b""
        self._is_file, self._has_file = False, False
        self._pieces: list[str | bytes] = []
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

    def feed(self, chunk: bytes) -> list[str | bytes]:
        """Parse the next piece of the body: the names of files that begin in it, and the bytes of files."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BadRequestError(f"multipart body: {error}") from error
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
        name = self._name_of(self._headers)
        self._is_file = name is not None
        if name is not None:
            self._has_file = True
            self._pieces.append(name)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self.is_complete = self._has_file

    def _limit_headers(self) -> None:
        size = len(self._field) + len(self._value) + sum(len(k) + len(v) for k, v in self._headers.items())
        if size > MAX_PART_HEADERS:
            raise BadRequestError("multipart body: a part's headers are too long")


def form_file(headers: Mapping[bytes, bytes]) -> str | None:
    """Of a form: the name of the file if the part is the field `file`."""
    disposition = headers.get(b"content-disposition", b"")
    _, options = parse_options_header(disposition)
    return _name_of(disposition, options.get(b"filename", b"")) if options.get(b"name") == FIELD else None


def _name_of(disposition: bytes, plain: bytes) -> str:
    """The file's name: `filename*` if present, else `filename` as UTF-8, or as Latin-1 from older programs."""
    if extended := _EXTENDED.search(disposition):
        encoding, value = extended[1].decode("ascii"), unquote_to_bytes(extended[2])
        with suppress(LookupError, ValueError):
            return value.decode(encoding) or UNNAMED
    try:
        return plain.decode() or UNNAMED
    except UnicodeDecodeError:
        return plain.decode("latin-1")
