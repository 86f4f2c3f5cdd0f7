"""Tus headers that concern every request and answer below its path, whatever the route."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.contract.tus_protocol import PREFIX, VERSION


class TusHeaders:
    """Adds the protocol's version to every answer, and applies X-HTTP-Method-Override to POST."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; change the method on the way in, add headers on the way back."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        method = dict(scope["headers"]).get(b"x-http-method-override", b"").decode("latin-1")
        # For clients behind a proxy that allows only GET and POST.
        if scope["method"] == "POST" and method in {"PATCH", "DELETE"}:
            scope["method"] = method

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = VERSION
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_version)
