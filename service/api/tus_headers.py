"""Tus: what holds for every request and answer below its place, whichever route it is of."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.contract.tus_protocol import PREFIX, VERSION


class TusHeaders:
    """Says on every answer which version is spoken, and takes another method's name in place of a POST's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        method = dict(scope["headers"]).get(b"x-http-method-override", b"").decode("latin-1")
        if scope["method"] == "POST" and method in {"PATCH", "DELETE"}:  # Where a proxy knows no others.
            scope["method"] = method

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = VERSION
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_version)
