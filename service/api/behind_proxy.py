"""Requests that come by a reverse proxy: whose they are, and below which prefix the service is served.

uvicorn's middleware reads X-Forwarded-For and X-Forwarded-Proto, this one X-Forwarded-Prefix; both from trusted proxies
only. X-Forwarded-Host is not read: no answer names a host.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.api.contract.errors import problem_response
from service.problems import make_problem
from service.proxies import check_prefix, link, served_below

_log = structlog.stdlib.get_logger(__name__)


class BehindProxy:
    """Takes the prefix off paths that have it, and puts it into every link of the answer.

    So both kinds of proxies work, those that pass the prefix on and those that take it away, and all other parts of the
    service know its own paths alone.
    """

    def __init__(self, app: ASGIApp, *, root_path: str, trusted_proxies: Sequence[str]) -> None:
        self._forwarded = ProxyHeadersMiddleware(app, list(trusted_proxies))  # type: ignore[arg-type]
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with the service's own path."""
        if scope["type"] != "http":
            await self._forwarded(scope, receive, send)  # type: ignore[arg-type]
            return
        try:
            prefix = self._prefix(scope)
        except ValueError as error:
            detail = f"X-Forwarded-Prefix of the proxy: {error}"
            _log.warning("request refused", detail=detail)
            await problem_response(make_problem("bad-request", detail=detail))(scope, receive, send)
            return
        path = scope["path"]
        if prefix and path == prefix:  # Addresses in the pages are relative: they need the slash.
            await RedirectResponse(f"{prefix}/", 308)(scope, receive, send)
            return
        if path.startswith(f"{prefix}/"):
            path = path[len(prefix) :]
        with served_below(prefix):
            own = dict(scope) | {"path": path}
            await self._forwarded(own, receive, _without_host(send))  # type: ignore[arg-type]

    def _prefix(self, scope: Scope) -> str:
        peer = scope["client"][0] if scope.get("client") else None
        said = ",".join(Headers(scope=scope).getlist("x-forwarded-prefix"))
        if said and peer in self._forwarded.trusted_hosts:
            return check_prefix(said)
        return self._root_path


def _without_host(send: Send) -> Send:
    """Starlette redirects a path with a slash too many to an address with a host, which a proxy may call otherwise."""

    async def send_redirect(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 307:
            headers = MutableHeaders(scope=message)
            place = urlsplit(headers["location"])
            headers["location"] = link(place.path) + (f"?{place.query}" if place.query else "")
        await send(message)

    return send_redirect
