"""Servers on real ports for the tests: object store, receiver of webhooks, issuer of tokens, a line that breaks."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

Reply = tuple[int, bytes, dict[str, str]]


class LocalServer:
    """Answers each request with what `answer(handler, body)` returns, until it is closed; by https with `tls`."""

    def __init__(
        self, answer: Callable[[BaseHTTPRequestHandler, bytes], Reply], tls: ssl.SSLContext | None = None
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, content, headers = answer(self, body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class ObjectStore(LocalServer):
    """The files of a folder as the objects of S3 buckets, for those who sign with the right key id.

    Objects whose name begins with "held" are given only once `released` is set.
    """

    KEY_ID = "slides-reader"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.released = threading.Event()
        super().__init__(self._answer)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": self.KEY_ID,
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def _answer(self, request: BaseHTTPRequestHandler, _body: bytes) -> Reply:
        if f"AWS4-HMAC-SHA256 Credential={self.KEY_ID}/" not in request.headers.get("authorization", ""):
            return 403, b"<Error><Code>AccessDenied</Code></Error>", {}
        path = self.folder / request.path.lstrip("/")
        if not path.is_file():
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
        if path.name.startswith("held"):
            self.released.wait(20)
        return 200, path.read_bytes(), {"ETag": '"1"', "Last-Modified": "Wed, 25 Nov 2026 10:00:00 GMT"}


class WebhookReceiver(LocalServer):
    """Keeps what it is told; refuses the first deliveries of paths that say so: /hook/fail-2 fails twice."""

    SECRET = "whsec_" + "c2VjcmV0" * 4

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.told: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(self._answer, tls)

    def wait(self, path: str, count: int = 1) -> list[tuple[dict[str, str], bytes]]:
        """Headers and bodies of the deliveries to a path, once there are so many."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = [(headers, body) for told, headers, body in self.told if told == path]
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{path} was not told {count} times: {self.told}")

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> Reply:
        before = sum(path == request.path for path, _, _ in self.told)
        self.told.append((request.path, {name.lower(): value for name, value in request.headers.items()}, body))
        failures = re.search(r"fail-(\d+)", request.path)
        if "redirect" in request.path:
            return 302, b"", {"Location": "/elsewhere"}
        return (503 if failures and before < int(failures[1]) else 204), b"", {}


class Issuer(LocalServer):
    """An identity provider: publishes the public half of its key, and makes tokens with the private one."""

    def __init__(self, name: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._name = name
        #: How often its keys were asked for.
        self.asked = 0
        super().__init__(self._answer, tls)

    def token(self, *, key: rsa.RSAPrivateKey | None = None, kid: str = "1", **claims: object) -> str:
        now = int(time.time())
        usual = {"iss": self.address, "aud": "mitoscan", "sub": "dora", "iat": now, "exp": now + 60}
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(said, key or self._key, "RS256", headers={"kid": kid})

    def _answer(self, request: BaseHTTPRequestHandler, _body: bytes) -> Reply:
        if request.path == "/.well-known/openid-configuration":
            content: object = {"issuer": self._name or self.address, "jwks_uri": f"{self.address}/keys"}
        else:
            self.asked += 1
            public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
            content = {"keys": [public | {"kid": "1", "use": "sig", "alg": "RS256"}]}
        return 200, json.dumps(content).encode(), {"Content-Type": "application/json"}


class BreakingLine:
    """A line to a server that is cut, both ways and without a word, whenever so many bytes have been sent over it."""

    def __init__(self, host: str, port: int, breaks: Sequence[int] = ()) -> None:
        self.lead_to(host, port)
        self._breaks = sorted(breaks)
        self._sent = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def breaks_left(self) -> int:
        """How often it has still to be cut."""
        return len(self._breaks)

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def lead_to(self, host: str, port: int) -> None:
        """New connections go there."""
        self._target = (host, port)

    def cut(self) -> None:
        """Break all connections now."""
        cut, self._open = self._open, []
        for end in cut:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # Closed.
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(self._target)
                except OSError:  # The server is away.
                    near.close()
                    continue
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(*pair, pair[0] is near), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:
        try:
            while piece := source.recv(1 << 16):
                target.sendall(piece)
                self._sent += len(piece) if is_sent else 0
                if is_sent and self._breaks and self._sent >= self._breaks[0]:
                    del self._breaks[0]
                    return
        except OSError:  # Cut in the other direction.
            pass
        finally:
            for end in (source, target):  # Wakes whoever waits in the other direction.
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
