"""Security headers of every response: no content sniffing, no foreign frame, nothing loaded from other hosts."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors {framing}; form-action 'self'; base-uri 'none'"
)


def security_headers(frame_origins: Sequence[str]) -> dict[str, str]:
    """The headers, if pages of these origins may show the service in a frame."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": POLICY.format(framing=" ".join(frame_origins) or "'none'"),
    }
    return headers if frame_origins else headers | {"X-Frame-Options": "DENY"}  # That knows no list of origins.


class SecurityHeaders:
    """Adds headers to every response that does not set its own."""

    def __init__(self, app: ASGIApp, *, frame_origins: Sequence[str] = ()) -> None:
        self._app = app
        self._headers = security_headers(frame_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
