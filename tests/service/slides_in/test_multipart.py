"""The names of files in a form are read however clients write them."""

from __future__ import annotations

import pytest

from service.slides_in.multipart import UNNAMED, Multipart, form_file


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b'filename="Fall 3, (1,0) [HE].svs"', "Fall 3, (1,0) [HE].svs"),
        ('filename="M\u00fcller.svs"'.encode(), "M\u00fcller.svs"),
        ('filename="Mu\u0308ller.svs"'.encode(), "Mu\u0308ller.svs"),
        (b'filename="M\xfcller.svs"', "M\u00fcller.svs"),
        (b"filename*=UTF-8''M%C3%BCller.svs", "M\u00fcller.svs"),
        (b"filename=\"Mueller.svs\"; filename*=utf-8'de'M%C3%BCller%3B1.svs", "M\u00fcller;1.svs"),
        (b"filename*=iso-8859-1''M%FCller.svs", "M\u00fcller.svs"),
        (b"filename=\"a.svs\"; filename*=no-such-encoding''b.svs", "a.svs"),
        (b"filename=\"a.svs\"; filename*=UTF-8''%FF.svs", "a.svs"),
        (b'filename="a;b.svs"', "a;b.svs"),
        (b'filename=""', UNNAMED),
        (b"filename*=UTF-8''", UNNAMED),
        (b'other="x"', UNNAMED),
    ],
)
def test_a_file_is_called_what_the_client_calls_it(written: bytes, name: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; ' + written
    body = Multipart("multipart/form-data; boundary=x", form_file)
    assert body.feed(head + b"\r\n\r\nabc\r\n--x--\r\n") == [name, b"abc"]
