"""nginx in front of a server, by the configuration that the documentation shows."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT, require_system
from tests.house.pages import blocks
from tests.service.server_process import Server, start_process

PAGE = ROOT / "docs" / "service" / "operation.md"
PREFIX = "/mitoscan"
START_TIMEOUT = 60.0  # seconds
#: What the page leaves to the reader: one process of this user, with every file in one folder.
_FRAME = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
{location}
    }}
}}
"""


@contextmanager
def run_nginx(folder: Path, server: Server) -> Iterator[str]:
    """The address of an nginx that serves the server below PREFIX."""
    program = require_system("nginx")
    (shown,) = blocks(PAGE, "nginx")
    assert "http://127.0.0.1:8000" in shown
    location = shown.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
    process, port = _start(program, folder, location)
    try:
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.terminate()
        process.wait(20)


def _start(program: str, folder: Path, location: str) -> tuple[subprocess.Popen[bytes], int]:
    """nginx and its port; it cannot choose a free one itself, and another process may be faster."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        (folder / "nginx.conf").write_text(_FRAME.format(port=port, location=location))
        command = [program, "-e", "error.log", "-p", str(folder), "-c", "nginx.conf"]
        process = start_process(command, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if _listens(port):
                return process, port
            time.sleep(0.02)
        assert time.monotonic() < deadline, (folder / "error.log").read_text()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
