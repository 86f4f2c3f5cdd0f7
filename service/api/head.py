"""HEAD: answered by the route of GET, without a body."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.contract.errors import has_route


class HeadAsGet:
    """Answers HEAD with the status and headers of GET, for every path that has no HEAD of its own.

    The answer ends where its body would begin: no file is read, and no stream is followed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with GET in place of HEAD, until it begins to answer."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or has_route(scope, "HEAD"):
            await self._app(scope, receive, send)
            return
        with anyio.CancelScope() as answering:

            async def send_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body"})
                    answering.cancel()
                elif message.get("more_body"):
                    await anyio.lowlevel.checkpoint()  # Ends a stream that waits for nothing else.

            await self._app(dict(scope) | {"method": "GET"}, receive, send_head)
