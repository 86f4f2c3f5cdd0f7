"""Audit trail: which client requested what, and the status of the answer, one JSON object per line.

It has no names of slides: those may be names of patients. It has ids of jobs and slides, which the database resolves.
"""

from __future__ import annotations

import getpass
import json
import logging
import re
from datetime import UTC, datetime
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FILE_NAME = "audit.jsonl"
#: Not recorded: what shows nothing of a slide, or is a part of a view that was recorded already.
_UNNOTED = re.compile(
    r"/|/docs|/openapi\.json|/static/.*|/models|/healthz|/readyz|/metrics|/jobs|"
    r"/jobs/[^/]+/(view|events|live-map\.png|slide_files/.*|slide\.dzi)"
)
MAX_PATH = 300


def shown_path(path: str) -> str:
    """The path of a request without the name of an upload by PUT, which may be a patient's."""
    return "/uploads" if path.startswith("/uploads/") and not path.startswith("/uploads/tus") else path[:MAX_PATH]


def add_audit_fields(request: Request, **facts: str) -> None:
    """Add fields to the audit trail's entry of this request."""
    request.scope.setdefault("mitoscan.audit", {}).update(facts)


def record_key(folder: Path, **facts: str) -> None:
    """Write that the command line has added or revoked a key, and which user of the system did."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"time": _now(), "client": None, "user": getpass.getuser(), **facts}
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


class AuditTrail:
    """Writes an entry for every request for a slide or a result, and for every request that is refused."""

    def __init__(self, app: ASGIApp, *, folder: Path, keep_days: int) -> None:
        self._app = app
        folder.mkdir(parents=True, exist_ok=True)
        self._handler = TimedRotatingFileHandler(
            folder / FILE_NAME, when="midnight", utc=True, backupCount=keep_days, encoding="utf-8", delay=True
        )
        self._handler.setFormatter(logging.Formatter("%(message)s"))
        self._log = logging.Logger(
            "mitoscan.audit"
        )  # Outside the tree of loggers, so that no configuration turns it off.
        self._log.addHandler(self._handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; write the entry when the answer begins."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                self._log.handlers[0].close()
            return
        facts: dict[str, str] = {}
        scope["mitoscan.audit"] = facts

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._write(scope, int(message["status"]), facts)
            await send(message)

        try:
            await self._app(scope, receive, send_and_record if scope["type"] == "http" else send)
        finally:
            if scope["type"] == "lifespan":  # The application ends.
                self._handler.close()

    def _write(self, scope: Scope, status: int, facts: dict[str, str]) -> None:
        is_refused = status in {401, 403, 429}
        if not is_refused and scope["method"] in {"GET", "HEAD"} and _UNNOTED.fullmatch(scope["path"]):
            return
        address = scope["client"][0] if scope.get("client") else None
        entry = {
            "time": _now(),
            "client": None,
            "address": address,
            "method": scope["method"],
            "path": shown_path(scope["path"]),
            "status": status,
            **facts,
        }
        self._log.info(json.dumps(entry))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
