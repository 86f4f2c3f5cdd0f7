"""A body becomes the same stored slide however it is cut up on its way."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.errors import DamagedSlideError, UnsupportedSlideError
from service.access.limits import Allowance, TooLargeError
from service.settings import Settings
from service.slides_in.image_headers import Header, read_header
from service.slides_in.multipart import BadRequestError
from service.slides_in.store_slide import StoredSlide, clean_name, receive_form, receive_raw
from tests.service.fields import make_field, png

BODY = png(make_field(1, 40, 30))
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    + BODY
    + b"\r\n--b--\r\n"
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data=tmp_path_factory.mktemp("data"), max_upload_bytes=100_000)


async def in_pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for first, last in itertools.pairwise(edges):
        yield body[first:last]


def receive(own: Settings, body: bytes, cuts: list[int], content_type: str | None = None) -> StoredSlide:
    stream = in_pieces(body, cuts)
    allowance = Allowance(own.max_upload_bytes)
    if content_type:
        return asyncio.run(receive_form(stream, own, allowance=allowance, content_type=content_type))
    return asyncio.run(receive_raw(stream, own, allowance=allowance))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 10_000), max_size=30))
def test_cuts_do_not_matter(own: Settings, cuts: list[int]) -> None:
    raw = receive(own, BODY, cuts)
    form = receive(own, FORM, cuts, "multipart/form-data; boundary=b")
    assert raw.sha256 == form.sha256 == hashlib.sha256(BODY).hexdigest()
    assert raw.path == form.path
    assert (own.data / raw.path).read_bytes() == BODY
    assert form.name == "a.png"
    assert raw.header == Header(".png", 30, 40)


def test_the_cap_holds_to_the_byte(own: Settings) -> None:
    exact = BODY + bytes(100_000 - len(BODY))
    assert (own.data / receive(own, exact, [5]).path).stat().st_size == 100_000
    with pytest.raises(TooLargeError):
        receive(own, exact + b"\0", [5])
    assert list((own.uploads / "incoming").iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, len(FORM) - 7))
def test_a_form_that_breaks_off_is_refused(tmp_path_factory, length: int) -> None:
    own = Settings(data=tmp_path_factory.getbasetemp())
    with pytest.raises(BadRequestError):
        receive(own, FORM[:length], [], "multipart/form-data; boundary=b")


@given(st.text(max_size=400))
def test_names_are_shown_clean(name: str) -> None:
    shown = clean_name(name)
    assert 0 < len(shown) <= 200
    assert shown.isprintable()
    assert not {"/", "\\"} & set(shown)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(1, 1), (37, 91), (640, 3)])
def test_headers_agree_with_pillow(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    for options in ({}, {"progressive": True} if kind == "JPEG" else {}, {"lossless": True} if kind == "WEBP" else {}):
        path = tmp_path / "image"
        Image.new("RGB", size, (200, 100, 150)).save(path, kind, **options)
        header = read_header(path)
        assert (header.width, header.height) == size


@settings(max_examples=300, deadline=None)
@given(
    head=st.sampled_from(
        [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"RIFF"]
    ),
    rest=st.binary(max_size=300),
)
def test_no_header_breaks_the_reader(tmp_path_factory, head: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile"
    path.write_bytes(head + rest)
    try:
        header = read_header(path)
    except (DamagedSlideError, UnsupportedSlideError):
        return
    assert header.width is None or header.width >= 0


def test_a_jpeg_of_endless_segments_is_refused_quickly(tmp_path: Path) -> None:
    path = tmp_path / "endless.jpg"
    path.write_bytes(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100_000)
    with pytest.raises(DamagedSlideError):
        read_header(path)


def test_bytes_of_another_kind_keep_their_own_suffix(own: Settings) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 5)).save(buffer, "TIFF")
    assert receive(own, buffer.getvalue(), []).path.endswith("/slide.tif")
