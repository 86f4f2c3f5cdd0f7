"""Request targets: a path or query that is not plain text is refused before any route sees it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.contract.errors import problem_response
from service.problems import make_problem

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class PlainTargets:
    """Answers 400 if the path or the query is not UTF-8 or contains control characters."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application if path and query are text."""
        if scope["type"] == "http":
            for part, value in (("path", scope.get("raw_path") or b""), ("query", scope["query_string"])):
                if not is_text(value):
                    detail = f"the {part} is not UTF-8 or contains control characters"
                    problem = make_problem("bad-request", detail=detail)
                    await problem_response(problem)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def is_text(target: bytes) -> bool:
    """True if the percent-decoded target is UTF-8 without control characters."""
    try:
        return _CONTROL.search(unquote_to_bytes(target).decode("utf-8")) is None
    except UnicodeDecodeError:
        return False
