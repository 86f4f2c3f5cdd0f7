"""An upload that breaks off goes on where it broke, and becomes the slide it would have been."""

from __future__ import annotations

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.slides_in import tus
from tests.service.fields import make_field, png
from tests.service.server_process import Server, until

TUS = {"Tus-Resumable": "1.0.0"}
APPEND = TUS | {"Content-Type": "application/offset+octet-stream"}


def begin(client: httpx.Client, length: int, name: str = "a slide.png") -> str:
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = TUS | {"Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = client.post("/uploads/tus", headers=headers)
    assert answer.status_code == 201, answer.text
    return httpx.URL(answer.headers["location"]).path


def offset(client: httpx.Client, path: str) -> int:
    answer = client.head(path, headers=TUS)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["upload-offset"])


def send(client: httpx.Client, path: str, body: bytes, at: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(path, content=body, headers=APPEND | {"Upload-Offset": str(at)} | named)


def half_open(server: Server, path: str, body: bytes, *, length: int, at: int = 0) -> socket.socket:
    """A PATCH whose client has sent `body` of `length` bytes and says no more."""
    line = socket.create_connection((server.client.base_url.host, server.client.base_url.port))
    fields = APPEND | {"Host": "localhost", "Upload-Offset": str(at), "Content-Length": str(length)}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    line.sendall(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return line


def test_an_upload_in_pieces_is_the_slide_in_one(server: Server) -> None:
    client, body = server.client, png(make_field(80))
    path = begin(client, len(body), "patient Ünal.png")
    for _ in range(3):  # Each time the line breaks after a part of what is left.
        at = offset(client, path)
        assert send(client, path, body[at : at + len(body) // 5], at).status_code == 204
    at = offset(client, path)
    assert 0 < at < len(body)
    answer = send(client, path, body[at:], at)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(body)))
    assert offset(client, path) == len(body)
    answer = client.post("/detect", json={"source": {"upload": path.rsplit("/", 1)[-1]}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "patient Ünal.png"
    whole = client.post("/detect", content=body).json()
    assert whole["cached"]
    assert whole["detections"] == answer.json()["detections"]
    stored = server.folder / "data" / "uploads" / hashlib.sha256(body).hexdigest() / "slide.png"
    assert stored.read_bytes() == body


def test_the_service_says_what_it_speaks(client: httpx.Client) -> None:
    answer = client.options("/uploads/tus")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    extensions = {"creation", "creation-defer-length", "expiration", "termination"}
    assert set(answer.headers["tus-extension"].split(",")) == extensions
    assert int(answer.headers["tus-max-size"]) == 3_000_000
    path = begin(client, 100)
    said = client.head(path, headers=TUS).headers
    assert (said["upload-length"], said["upload-offset"], said["cache-control"]) == ("100", "0", "no-store")
    assert said["upload-metadata"].startswith("filename ")
    assert "GMT" in said["upload-expires"]
    refused = client.head(path, headers={"Tus-Resumable": "0.2.2"})
    assert (refused.status_code, refused.headers["tus-version"]) == (412, "1.0.0")


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({}, b"", 400),
        ({"Upload-Length": "100", "Upload-Defer-Length": "1"}, b"", 400),
        ({"Upload-Length": "0"}, b"", 422),
        ({"Upload-Length": "-1"}, b"", 422),
        ({"Upload-Length": "many"}, b"", 422),
        ({"Upload-Length": "4000000000"}, b"", 413),
        ({"Upload-Length": "100", "Upload-Concat": "partial"}, b"", 400),
        ({"Upload-Concat": "final;/uploads/tus/a /uploads/tus/b"}, b"", 400),
        ({"Upload-Length": "100", "Content-Type": "application/offset+octet-stream"}, b"x" * 100, 400),
        ({"Upload-Length": "100", "Upload-Metadata": "filename ?"}, b"", 400),
        ({"Upload-Length": "100", "Upload-Metadata": "filename /w=="}, b"", 400),
        ({"Upload-Length": "100", "Tus-Resumable": "2.0.0"}, b"", 412),
    ],
)
def test_what_cannot_begin_is_refused_and_nothing_is_written(
    server: Server, headers: dict[str, str], content: bytes, status: int
) -> None:
    folder = tus.tus_folder(Settings(data=server.folder / "data"))
    before = set(folder.iterdir()) if folder.exists() else set()
    answer = server.client.post("/uploads/tus", headers=TUS | headers, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert (set(folder.iterdir()) if folder.exists() else set()) == before


def test_what_is_not_the_next_piece_is_refused(client: httpx.Client) -> None:
    path = begin(client, 100)
    assert send(client, path, b"x" * 10, 0).status_code == 204
    for at in (0, 9, 11, 50):
        answer = send(client, path, b"x" * 10, at)
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
    assert send(client, path, b"x" * 91, 10).status_code == 413
    assert send(client, path, b"x", 10, Content_Type="application/octet-stream").status_code == 415
    assert client.patch(path, content=b"x", headers=APPEND).status_code == 422
    assert send(client, "/uploads/tus/" + "0" * 32, b"x", 0).status_code == 404
    assert offset(client, path) == 10


@pytest.mark.parametrize("body", [b"not a slide at all", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_slide_is_refused_at_its_end(client: httpx.Client, body: bytes) -> None:
    path = begin(client, len(body))
    assert send(client, path, body, 0).status_code in {415, 422}
    answer = client.post("/detect", json={"source": {"upload": path.rsplit("/", 1)[-1]}})
    assert answer.status_code == 404
    assert client.head(path, headers=TUS).status_code == 404


def test_a_length_may_come_later_and_counts_from_then_on(client: httpx.Client) -> None:
    body = png(make_field(81))
    location = client.post("/uploads/tus", headers=TUS | {"Upload-Defer-Length": "1"}).headers["location"]
    assert client.head(location, headers=TUS).headers["upload-defer-length"] == "1"
    assert send(client, location, body[:1000], 0).status_code == 204
    assert send(client, location, b"", 1000, Upload_Length="4000000").status_code == 413
    assert send(client, location, body[1000:2000], 1000, Upload_Length=str(len(body))).status_code == 204
    assert client.head(location, headers=TUS).headers["upload-length"] == str(len(body))
    assert send(client, location, b"", 2000, Upload_Length=str(len(body) + 1)).status_code == 409
    assert send(client, location, body[2000:], 2000).status_code == 204
    upload = location.rsplit("/", 1)[-1]
    assert client.post("/detect", json={"source": {"upload": upload}}).status_code == 200


def test_more_than_the_cap_is_not_taken_however_it_comes(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(100_000)

    location = client.post("/uploads/tus", headers=TUS | {"Upload-Defer-Length": "1"}).headers["location"]
    answer = client.patch(location, content=pieces(), headers=APPEND | {"Upload-Offset": "0"})
    assert answer.status_code == 413
    assert offset(client, location) <= 3_000_000
    assert client.delete(location, headers=TUS).status_code == 204


def test_a_terminated_upload_is_gone(server: Server) -> None:
    path = begin(server.client, 100)
    send(server.client, path, b"x" * 10, 0)
    folder = server.folder / "data" / "uploads" / "tus" / path.rsplit("/", 1)[-1]
    assert folder.is_dir()
    assert server.client.delete(path, headers=TUS).status_code == 204
    assert not folder.exists()
    assert server.client.head(path, headers=TUS).status_code == 404


def test_what_was_received_before_a_break_stays(server: Server) -> None:
    path = begin(server.client, 1_000_000)
    with half_open(server, path, b"x" * 300_000, length=1_000_000) as line:
        line.shutdown(socket.SHUT_RDWR)
    assert until(lambda: offset(server.client, path), server, timeout=20) == 300_000


def test_a_contended_upload_answers_at_once_and_a_silent_client_makes_way(server: Server) -> None:
    sent = b"x" * (3 << 19)  # More than is gathered before it is written, so that it is seen when it has come.
    path = begin(server.client, 2_000_000)
    with half_open(server, path, sent, length=2_000_000) as silent:
        until(lambda: offset(server.client, path), server, timeout=20)
        answer = send(server.client, path, b"y" * 100, len(sent))
        assert answer.status_code == 423
        assert answer.headers["retry-after"] == "1"
        assert server.client.delete(path, headers=TUS).status_code == 423
        # The client of the first request is silent: it does not keep the second for as long as it likes.
        answer = until(lambda: _unless_busy(send(server.client, path, b"y" * 100, len(sent))), server, timeout=20)
        assert answer.status_code == 204
        assert silent.recv(4096).startswith(b"HTTP/1.1 408")
    assert offset(server.client, path) == len(sent) + 100


def _unless_busy(answer: httpx.Response) -> httpx.Response | None:
    time.sleep(0.2)
    return None if answer.status_code == 423 else answer


def test_a_restart_of_the_api_costs_nothing(tmp_path: Path, models_folder: Path) -> None:
    body = png(make_field(82))
    with Server(tmp_path, models_folder, MITOSCAN_MIN_FREE_BYTES="1").start() as server:
        path, whole = begin(server.client, len(body), "before.png"), begin(server.client, len(body))
        send(server.client, path, body[:5000], 0)
        server.kill([server.process.pid])
        server.process.wait()
        server.client.close()
    # What the API leaves that is killed between the last byte and the slide.
    (tmp_path / "data" / "uploads" / "tus" / whole.rsplit("/", 1)[-1] / "bytes").write_bytes(body)
    with Server(tmp_path, models_folder, MITOSCAN_MIN_FREE_BYTES="1").start() as server:
        assert offset(server.client, path) == 5000
        assert send(server.client, path, body[5000:], 5000).status_code == 204
        for upload in (path, whole):
            answer = server.client.post("/detect", json={"source": {"upload": upload.rsplit("/", 1)[-1]}})
            assert answer.status_code == 200, answer.text
