"""Forms: the files within a multipart body, found as it streams by."""

from __future__ import annotations

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

#: A part's headers may be this long in all.
MAX_PART_HEADERS = 8192
#: The form field that holds the slide.
FIELD = b"file"


class BadRequestError(Exception):
    """The body cannot be understood."""


class Form:
    """Finds the fields `file` in a multipart body as it streams by; other fields are skipped, not kept."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        if not options.get(b"boundary"):
            raise BadRequestError("multipart body: the Content-Type names no boundary")
        self.is_complete = False
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
        """Within the next piece of the body: the name of each file that begins, and bytes of the last one begun."""
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
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._is_file = options.get(b"name") == FIELD
        if self._is_file:
            self._has_file = True
            self._pieces.append(options.get(b"filename", b"upload").decode("utf-8", "replace") or "upload")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self.is_complete = self._has_file

    def _limit_headers(self) -> None:
        size = len(self._field) + len(self._value) + sum(len(k) + len(v) for k, v in self._headers.items())
        if size > MAX_PART_HEADERS:
            raise BadRequestError("multipart body: a part's headers are too long")
