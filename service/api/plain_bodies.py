"""Request bodies: sent as they are, and small where they are no slides.

FastAPI reads JSON bodies whole, before it asks for a key; and a slide that was compressed on the way would be stored as
something that is no slide.
"""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.contract.errors import problem_response
from service.problems import make_problem

#: Bytes of a body that is no slide; the longest note of a review is a few thousand.
MAX_SMALL = 1 << 16
#: Paths that take slides, and bound them as the settings say.
SLIDE_PATHS = ("/detect", "/uploads")


class PlainBodies:
    """Refuses bodies with a Content-Encoding (415), and on paths that take no slides those over MAX_SMALL (413)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        coding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            detail = f"the body has the Content-Encoding {coding[:100]!r}: send it as it is"
            await problem_response(make_problem("encoded-body", detail=detail))(scope, receive, send)
            return
        is_slide = scope["path"].startswith(SLIDE_PATHS)
        await self._app(scope, receive if is_slide else _bounded(receive), send)


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def receive_small() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_SMALL:
            raise HTTPException(413, f"a body has at most {MAX_SMALL} bytes here")
        return message

    return receive_small
