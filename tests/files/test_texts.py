"""Text is read in every encoding that programs write, packed or not; what is none is refused by its name."""

from __future__ import annotations

import codecs
import gzip
import os
import socket
import unicodedata
from pathlib import Path

import pytest

from scanner.errors import SettingsError
from scanner.files.texts import decode, paths_from_text, read_text

TEXT = 'path;mpp\r\n"Fall 3, Müller.svs";0,25\n'
ENCODED = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "UTF-16 LE": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "UTF-16 BE": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "UTF-16 LE, no mark": TEXT.encode("utf-16-le"),
    "UTF-16 BE, no mark": TEXT.encode("utf-16-be"),
    "UTF-32 LE": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "UTF-32 BE": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    "Latin-1": TEXT.encode("latin-1"),
    "gzip": gzip.compress(TEXT.encode()),
    "gzip of UTF-16": gzip.compress(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")),
    "gzip in two members": gzip.compress(TEXT[:9].encode()) + gzip.compress(TEXT[9:].encode()),
}


@pytest.mark.parametrize("name", ENCODED)
def test_text_is_the_same_in_every_encoding(tmp_path: Path, name: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(ENCODED[name])
    assert read_text(path) == TEXT


def test_windows_signs_that_latin_1_has_not_are_read() -> None:
    assert decode("Größe in µm, 5 €".encode("cp1252")) == "Größe in µm, 5 €"
    assert decode(b"\x81 \xb5m") == "\x81 µm"


@pytest.mark.parametrize("text", ["", "a", "ab", "path\n", "µ"])
def test_short_texts_are_taken_for_no_other_encoding(text: str) -> None:
    assert decode(text.encode()) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\0c\n" * 9, "NUL"),
        (codecs.BOM_UTF16_LE + b"a\0b", "not text in UTF-16-LE"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "ends before its content"),
        (gzip.compress(TEXT.encode(), mtime=0)[:10] + b"\x07" * 30, "damaged gzip"),
        (gzip.compress(b"x" * 5000, mtime=0), "too large"),
        (b"x" * 2000, "too large"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "text.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as raised:
        read_text(path, max_bytes=1000)
    assert str(raised.value).startswith(str(path))


def test_only_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        reasons = {
            "pipe": "a named pipe",
            "socket": "a socket",
            "": "a folder",
            "gone": "No such file",
            "loop": "Too many levels",
        }
        for name, reason in reasons.items():
            with pytest.raises(SettingsError, match=reason):
                read_text(tmp_path / name)
    with pytest.raises(SettingsError, match="a device"):
        read_text(Path("/dev/zero"))


def test_a_name_in_a_text_is_looked_for_in_the_forms_that_file_systems_have() -> None:
    composed, apart = unicodedata.normalize("NFC", "Mü.svs"), unicodedata.normalize("NFD", "Mü.svs")
    for text in (composed, apart):
        meant = [os.fsencode(path.name) for path in paths_from_text(text, Path("/x"))]
        assert meant[0] == text.encode()
        assert {*meant} == {composed.encode(), apart.encode(), b"M\xfc.svs"}
    assert paths_from_text("a.svs", Path("/x")) == [Path("/x/a.svs")]
