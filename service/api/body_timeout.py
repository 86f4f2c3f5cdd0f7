"""Timeout of request bodies: a body that stalls, or arrives too slowly, ends its request.

Only the time that the service waits for the client counts, not the time that it takes itself.
"""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.limits import SlowClientError

#: Bytes per second that a body must arrive with, on average.
SLOWEST = 1000.0


class BodyTimeout:
    """Raises SlowClientError in routes that read a body that has stalled for `timeout_s` or is slower than SLOWEST."""

    def __init__(self, app: ASGIApp, *, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with a `receive` that times out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken, waited, is_whole = 0, 0.0, False

        async def receive_in_time() -> Message:
            nonlocal taken, waited, is_whole
            if is_whole:  # From here on only a disconnect can come.
                return await receive()
            left = self._timeout_s + taken / SLOWEST - waited
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, min(self._timeout_s, left))):
                    message = await receive()
            except TimeoutError as error:
                raise SlowClientError(
                    f"no data for {self._timeout_s:g} s, or fewer than {SLOWEST:g} bytes per second on average"
                ) from error
            waited += time.monotonic() - began
            taken += len(message.get("body", b""))
            is_whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
