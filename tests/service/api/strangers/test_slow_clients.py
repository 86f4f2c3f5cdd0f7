"""A client that stops, in whatever it was doing, is given up by itself, and nobody else waits for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.slides_in.store_slide import incoming_folder
from tests.service.server_process import Server, until

#: Of the server, in seconds; and how much later its clients may find out on a busy machine.
TIMEOUT, SLACK = 1, 15
SCRIPT = "/static/view.js"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("slow")
    environment = {"MITOSCAN_CLIENT_TIMEOUT_S": str(TIMEOUT), "MITOSCAN_WORKERS": "0", "MITOSCAN_MIN_FREE_BYTES": "1"}
    environment["MITOSCAN_MAX_UPLOAD_BYTES"] = "3000000"
    with Server(folder, models_folder, **environment).start(wait_for_worker=False) as running:
        yield running


def connect(server: Server) -> socket.socket:
    line = socket.create_connection((server.client.base_url.host, server.client.base_url.port))
    line.settimeout(SLACK)
    return line


def put(length: int) -> bytes:
    return f"PUT /uploads/slide.tif HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def rest_of(line: socket.socket) -> bytes:
    """What still comes until the service closes the connection."""
    came = b""
    with suppress(ConnectionError):
        while piece := line.recv(1 << 16):
            came += piece
    return came


def send_for(line: socket.socket, seconds: float) -> None:
    """Send bytes for so long."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        line.sendall(bytes(1 << 16))


def is_left_behind(server: Server) -> bool:
    return any(incoming_folder(Settings(data=server.folder / "data")).iterdir())


def assert_quick(server: Server) -> None:
    started = time.monotonic()
    assert httpx.get(f"{server.client.base_url}/healthz", timeout=SLACK).status_code == 200
    assert time.monotonic() - started < 2


def test_a_body_that_stops_is_too_slow(server: Server) -> None:
    with connect(server) as line:
        line.sendall(put(2_000_000) + b"II*\0" + bytes(1000))
        assert_quick(server)
        came = rest_of(line)
    assert came.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in came
    until(lambda: not is_left_behind(server), server, timeout=SLACK)


def test_a_body_in_drops_is_too_slow(server: Server) -> None:
    started = time.monotonic()
    with connect(server) as line:
        line.sendall(put(2_000_000))
        with suppress(ConnectionError):
            while time.monotonic() - started < SLACK:
                line.sendall(b"x" * 10)  # A hundred bytes a second, a tenth of what is asked for.
                line.settimeout(0.1)
                try:
                    came = line.recv(4096)
                    break
                except TimeoutError:
                    continue
    assert came.startswith(b"HTTP/1.1 408 ")
    until(lambda: not is_left_behind(server), server, timeout=SLACK)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal",
    ],
)
def test_a_head_that_does_not_end_ends_the_connection(server: Server, beginning: bytes) -> None:
    with connect(server) as line:
        line.sendall(beginning)
        assert_quick(server)
        assert rest_of(line).count(b"HTTP/1.1") == beginning.count(b"\r\n\r\n")


def test_a_half_closed_line_ends_the_request(server: Server) -> None:
    with connect(server) as line:
        line.sendall(put(2_000_000) + b"II*\0" + bytes(1_100_000))
        line.shutdown(socket.SHUT_WR)
        assert not rest_of(line).startswith(b"HTTP/1.1 2")
    until(lambda: not is_left_behind(server), server, timeout=SLACK)
    assert_quick(server)


def test_a_client_that_reads_nothing_is_cut_off(server: Server) -> None:
    page = server.client.get(SCRIPT)
    requests = (64 << 20) // len(page.content)
    asked = f"GET {SCRIPT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * requests
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(SLACK)
        line.connect((server.client.base_url.host, server.client.base_url.port))
        with suppress(ConnectionError, TimeoutError):
            line.sendall(asked)
        assert_quick(server)
        time.sleep(TIMEOUT + 2)
        came = rest_of(line)
    assert 0 < len(came) < requests * len(page.content)


def test_a_body_that_never_ends_is_cut_off_after_its_answer(server: Server) -> None:
    with connect(server) as line:
        line.sendall(put(4_000_000_000))
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionError):
            send_for(line, SLACK)
        assert_quick(server)
    assert not is_left_behind(server)


def test_an_early_answer_is_read_and_the_connection_goes_on(server: Server) -> None:
    too_large = bytes(3_100_000)
    with httpx.Client(base_url=server.client.base_url, timeout=SLACK) as client:
        for _ in range(3):
            assert client.put("/uploads/slide.tif", content=too_large).status_code == 413
            assert client.get("/healthz").status_code == 200
