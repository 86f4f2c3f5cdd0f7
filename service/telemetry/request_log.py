"""Request log: one line per answered request, with an id that is in the answer too."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.audit import shown_path

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_JOB_PATH = re.compile(r"/jobs/([A-Za-z0-9_-]{1,64})(/|$)")
#: So frequent that their lines would hide the others.
_QUIET = re.compile(
    r"/(healthz|readyz|metrics|static/.*|jobs/[^/]+/(slide_files|crops)/.*|jobs/[^/]+/(live-map.png|thumbnail.jpeg))$"
)

_log = structlog.stdlib.get_logger(__name__)


class RequestLog:
    """Logs each request once it is answered, and gives it an id that is in its log lines and its response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, add the id to its response, and log the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()
        answer: dict[str, object] = {"status": 500}

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
                for name, value in message["headers"]:
                    if name.lower() == b"location":
                        answer["location"] = value.decode("latin-1")
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request=request_id.decode()):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                _log_request(scope, answer, seconds=time.perf_counter() - started)


def _log_request(scope: Scope, answer: dict[str, object], *, seconds: float) -> None:
    path = scope["path"]
    job = _JOB_PATH.match(path) or _JOB_PATH.match(str(answer.get("location", "")))
    fields: dict[str, object] = {"job": job[1]} if job else {}
    client = scope["client"][0] if scope.get("client") else None
    log = _log.debug if _QUIET.match(path) else _log.info
    fields |= {"method": scope["method"], "path": shown_path(path), "status": answer["status"]}
    log("request", **fields, seconds=round(seconds, 4), client=client)
