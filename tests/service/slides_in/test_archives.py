"""A zip is unpacked to what was packed, or refused before it does harm."""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import DamagedSlideError, UnsupportedSlideError
from service.access.limits import StorageFullError, TooLargeError
from service.slides_in.archives import unpack
from service.slides_in.multifile import BadNameError, checked_name

LIMIT = 300 << 20


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unpacked(content: bytes, into: Path, *, max_bytes: int = LIMIT) -> dict[str, bytes]:
    path = into / "archive.zip"
    path.write_bytes(content)
    files = unpack(path, into, max_bytes=max_bytes)
    for file in files:
        assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
        assert file.path.parent == into
    return {file.name: file.path.read_bytes() for file in files}


names = st.from_regex(r"[a-z]{1,8}(/[a-zA-Z0-9]{1,8}){0,2}", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(names, st.binary(max_size=3000), max_size=8), is_stored=st.booleans())
def test_what_was_packed_comes_out(files: dict[str, bytes], is_stored: bool) -> None:
    files = {name: content for name, content in files.items() if not any(o.startswith(f"{name}/") for o in files)}
    files = dict({name.casefold(): (name, content) for name, content in files.items()}.values())
    with tempfile.TemporaryDirectory() as folder:
        content = zipped(files, zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED)
        assert unpacked(content, Path(folder)) == files


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_zip_is_refused_or_whole(data: st.DataObject) -> None:
    content = bytearray(zipped({"a/b.dcm": b"x" * 400, "c": bytes(range(256))}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        with suppress(DamagedSlideError, UnsupportedSlideError, TooLargeError):
            unpacked(bytes(content[: data.draw(st.integers(30, len(content)))]), Path(folder))
        assert {path.parent for path in Path(folder).rglob("*")} <= {Path(folder)}


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/passwd", "C:/evil", "a\\..\\..\\evil", "", "a\nb", "x" * 2000, "./a", "a/.."],
)
def test_names_that_lead_elsewhere_are_none(name: str) -> None:
    with pytest.raises(BadNameError):
        checked_name(name)


def test_a_zip_with_a_name_that_leads_out_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match="not a valid name"):
        unpacked(zipped({"fine": b"1", "../../evil": b"2"}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["archive.zip"]


def bomb() -> bytes:
    return zipped({"slide.dcm": bytes(200 << 20)})


def many() -> bytes:
    return zipped({f"{number}": b"" for number in range(6000)}, zipfile.ZIP_STORED)


def long_list() -> bytes:
    return zipped({f"{number:05}{'x' * 500}": b"" for number in range(4500)}, zipfile.ZIP_STORED)


def lying() -> bytes:
    """Says that its entry unpacks to 10 bytes; it has far more."""
    content = bytearray(zipped({"a": bytes(100_000)}))
    place = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, place + 24, 10)
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(zipped({"a": b"secret"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def link() -> bytes:
    entry = zipfile.ZipInfo("slide.mrxs")
    entry.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def with_nul() -> bytes:
    return zipped({"a.jpg_.png": b"1"}).replace(b"a.jpg_.png", b"a.jpg\0.png")


def twice() -> bytes:
    return zipped({"Slide.dcm": b"1", "slide.DCM": b"2"})


@pytest.mark.parametrize(
    ("content", "refusal", "words"),
    [
        (bomb(), TooLargeError, "times its size"),
        (many(), TooLargeError, "6000 entries"),
        (long_list(), DamagedSlideError, "central directory is too long"),
        (lying(), DamagedSlideError, "zip"),
        (encrypted(), UnsupportedSlideError, "encrypted"),
        (link(), UnsupportedSlideError, "link"),
        (twice(), UnsupportedSlideError, "same name, apart from case: 'slide.DCM'"),
        (with_nul(), UnsupportedSlideError, "control characters"),
        (zipped({"a": b"a" * 500}, zipfile.ZIP_LZMA), UnsupportedSlideError, "another method than deflate"),
        (b"PK\x03\x04" + bytes(200), DamagedSlideError, "zip"),
    ],
    ids=["bomb", "many", "long list", "lying", "encrypted", "link", "twice", "NUL", "LZMA", "rubbish"],
)
def test_hostile_archives_are_refused(tmp_path: Path, content: bytes, refusal: type[Exception], words: str) -> None:
    with pytest.raises(refusal, match=words):
        unpacked(content, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(content) + 10


def test_the_cap_is_on_what_comes_out(tmp_path: Path) -> None:
    content = zipped({"a": bytes(5000), "b": bytes(5000)})
    assert len(unpacked(content, tmp_path, max_bytes=10_000)) == 2
    with pytest.raises(TooLargeError):
        unpacked(content, tmp_path, max_bytes=9_999)


def test_the_disk_is_asked_first(tmp_path: Path) -> None:
    def refuse(size: int) -> None:
        raise StorageFullError(str(size))

    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(5000)}))
    with pytest.raises(StorageFullError, match="5000"):
        unpack(tmp_path / "a.zip", tmp_path, max_bytes=LIMIT, require_space=refuse)


def test_names_in_utf8_are_read_whether_the_zip_says_so_or_not(tmp_path: Path) -> None:
    said = zipped({"Präparat.jpg": b"1"})
    unsaid = bytearray(said)
    unsaid[7] &= ~0x08
    unsaid[unsaid.index(b"PK\x01\x02") + 9] &= ~0x08
    for number, content in enumerate((said, bytes(unsaid))):
        (tmp_path / str(number)).mkdir()
        assert unpacked(content, tmp_path / str(number)) == {"Präparat.jpg": b"1"}
