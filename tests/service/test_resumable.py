"""An upload that breaks off goes on where it broke, and becomes the slide it would have been."""

from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from tests.service.conftest import Server, make_field, png

TUS = {"Tus-Resumable": "1.0.0"}


def begin(client: httpx.Client, length: int, name: str = "a slide.png") -> str:
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = TUS | {"Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = client.post("/uploads/tus", headers=headers, follow_redirects=True)
    assert answer.status_code == 201, answer.text
    return httpx.URL(answer.headers["location"]).path


def offset(client: httpx.Client, path: str) -> int:
    answer = client.head(path, headers=TUS)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["upload-offset"])


def send(client: httpx.Client, path: str, body: bytes, at: int) -> httpx.Response:
    headers = TUS | {"Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"}
    return client.patch(path, content=body, headers=headers)


def test_an_upload_in_pieces_is_the_slide_in_one(server: Server) -> None:
    client, body = server.client, png(make_field(80))
    path = begin(client, len(body))
    for _ in range(3):  # Each time the line breaks after a part of what is left.
        at = offset(client, path)
        assert send(client, path, body[at : at + len(body) // 5], at).status_code == 204
    at = offset(client, path)
    assert 0 < at < len(body)
    assert send(client, path, body[at:], at).status_code == 204
    assert offset(client, path) == len(body)
    answer = client.post("/detect", json={"source": {"upload": path.rsplit("/", 1)[-1]}})
    assert answer.status_code == 200, answer.text
    whole = client.post("/detect", content=body).json()
    assert whole["cached"]
    assert whole["detections"] == answer.json()["detections"]
    stored = server.folder / "data" / "uploads" / hashlib.sha256(body).hexdigest() / "slide.png"
    assert stored.read_bytes() == body


def test_a_piece_at_the_wrong_place_is_refused(client: httpx.Client) -> None:
    path = begin(client, 100)
    answer = send(client, path, b"x" * 10, 50)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"not a slide at all", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_slide_is_refused_at_its_end(client: httpx.Client, body: bytes) -> None:
    path = begin(client, len(body))
    assert send(client, path, body, 0).status_code in {415, 422}
    answer = client.post("/detect", json={"source": {"upload": path.rsplit("/", 1)[-1]}})
    assert answer.status_code == 404


def test_more_than_the_cap_cannot_begin(client: httpx.Client) -> None:
    headers = TUS | {"Upload-Length": "4000000000"}
    assert client.post("/uploads/tus", headers=headers, follow_redirects=True).status_code == 413
