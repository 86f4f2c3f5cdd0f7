"""Text that people and their programs write: manifests, masks and labels, in whatever encoding and packed or not."""

from __future__ import annotations

import codecs
import os
import unicodedata
import zlib
from contextlib import suppress
from pathlib import Path

from scanner.errors import SettingsError
from scanner.files.regular_files import open_regular

#: Bytes of a text, unpacked: outlines drawn on the largest slides have some ten million.
MAX_BYTES = 1 << 28
#: The first bytes of a gzip file.
GZIP = b"\x1f\x8b"
#: Byte order marks; those of 32 bits first, as they begin like those of 16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Bytes that an encoding without a mark is detected by.
_SAMPLE = 4096


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """The text in a file, whether gzip or not: UTF-8, UTF-16 or UTF-32, with a mark or not, or else Windows-1252.

    Line ends are as they are; a mark at the start is left out.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Of the text as it is encoded, unpacked.

    Raises
    ------
    SettingsError
        The file cannot be read, is not text, or is larger; names it and the reason.
    """
    content = read_content(path, max_bytes=max_bytes)
    try:
        return decode(content)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def read_content(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file, unpacked if they are gzip's.

    Raises
    ------
    SettingsError
        It cannot be read, or holds more than `max_bytes`; names it and says why.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size  # Reading allocates so much memory at once.
            content = file.read(min(size, max_bytes) + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    if content.startswith(GZIP):
        content = _unpack(content, path, max_bytes)
    if len(content) > max_bytes:
        raise SettingsError(f"{path}: more than {max_bytes / 2**20:g} MiB, too large for such a file")
    return content


def decode(content: bytes) -> str:
    """Bytes as text, in the encoding that their mark names or their first characters show.

    Raises
    ------
    ValueError
        They are not text; gives the reason.
    """
    encoding, mark = _encoding_of(content)
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            place = len(mark) + error.start
            raise ValueError(f"not text in {encoding.upper()}: byte {place} is invalid") from error
        # The default of programs on Windows: Latin-1 with additional characters.
        text = _windows(content[len(mark) :])
    if "\0" in text:
        raise ValueError(f"not text: character {text.index(chr(0))} is NUL")
    return text


def paths_from_text(text: str, folder: Path) -> list[Path]:
    """What a text may mean that names a file: as it is written, and as file systems may have written it.

    The same letter may be one character or two (umlauts), and a name may be stored in Latin-1.

    Parameters
    ----------
    text : str
    folder : Path
        That relative paths count from.
    """
    forms = [text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]
    with suppress(UnicodeEncodeError):  # It may hold letters that Latin-1 lacks.
        forms.append(os.fsdecode(unicodedata.normalize("NFC", text).encode("cp1252")))
    return [folder / form for form in dict.fromkeys(forms)]


def _unpack(content: bytes, path: Path, max_bytes: int) -> bytes:
    """All members of a gzip file, up to one byte more than may be."""
    unpacked = bytearray()
    try:
        while content.startswith(GZIP) and len(unpacked) <= max_bytes:
            member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            unpacked += member.decompress(content, max_bytes + 1 - len(unpacked))
            if not member.eof and len(unpacked) <= max_bytes:
                raise SettingsError(f"{path}: the gzip file ends before its content does; copy it again")
            content = member.unused_data
    except zlib.error as error:
        raise SettingsError(f"{path}: a damaged gzip file; compress it again") from error
    return bytes(unpacked)


def _windows(content: bytes) -> str:
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:  # Five byte values are undefined in Windows-1252.
        return content.decode("latin-1")


def _encoding_of(content: bytes) -> tuple[str, bytes]:
    """Name of the encoding, and the mark at the start."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding, mark
    # Without a mark: in 16-bit text nearly every second byte is NUL, as most characters are Latin letters and signs.
    sample = content[: _SAMPLE - _SAMPLE % 2]
    evens, odds = sample[::2].count(0), sample[1::2].count(0)
    if max(evens, odds) > len(sample) // 4 and min(evens, odds) < len(sample) // 16 + 1:
        return ("utf-16-be" if evens > odds else "utf-16-le"), b""
    return "utf-8", b""
