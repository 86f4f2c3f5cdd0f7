"""Size of request bodies: what is no slide is small. FastAPI reads JSON bodies whole, before it asks for a key."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes of a body that is no slide; the longest note of a review is a few thousand.
MAX_SMALL = 1 << 16
#: Paths that take slides, and bound them as the settings say.
SLIDE_PATHS = ("/detect", "/uploads")


class SmallBodies:
    """Ends requests with 413 whose body is longer than MAX_SMALL, on paths that take no slides."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with a `receive` that counts."""
        if scope["type"] != "http" or scope["path"].startswith(SLIDE_PATHS):
            await self._app(scope, receive, send)
            return
        taken = 0

        async def receive_small() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_SMALL:
                raise HTTPException(413, f"a body has at most {MAX_SMALL} bytes here")
            return message

        await self._app(scope, receive_small, send)
