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
    r"/|/docs|/openapi\.json|/static/.*|/models|/me|/healthz|/readyz|/metrics|/jobs|"
    r"/jobs/[^/]+/(view|events|live-map\.png|slide\.dzi)"
)
#: Recorded once of each client and job: a slide is looked at by hundreds of tiles.
_TILE = re.compile(r"(/jobs/[^/]+/slide_files)/.*")
#: So many clients and jobs are known; tiles of others are recorded anew.
MOST_LOOKING = 10_000
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
        # Outside the tree of loggers, so that no configuration turns it off.
        self._log = logging.Logger("mitoscan.audit")
        self._log.addHandler(self._handler)
        self._looking: dict[tuple[str, ...], None] = {}  # Who has looked at which slide, the latest last.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; write the entry when the answer begins."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                self._handler.close()
            return
        facts: dict[str, str] = {}
        scope["mitoscan.audit"] = facts

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._write(scope, int(message["status"]), facts)
            await send(message)

        await self._app(scope, receive, send_and_record if scope["type"] == "http" else send)

    def _write(self, scope: Scope, status: int, facts: dict[str, str]) -> None:
        address, path = scope["client"][0] if scope.get("client") else None, scope["path"]
        if self._is_first_use(str(address), status, facts):
            facts["event"] = "share-used"
        elif status not in {401, 403, 429} and scope["method"] in {"GET", "HEAD"}:
            if _UNNOTED.fullmatch(path):
                return
            if tile := _TILE.fullmatch(path):
                path = tile[1]
                if not self._is_first(facts.get("client", ""), str(address), path, _now()[:10]):
                    return
        entry = {
            "time": _now(),
            "client": None,
            "address": address,
            "method": scope["method"],
            "path": shown_path(path),
            "status": status,
            **facts,
        }
        self._log.info(json.dumps(entry))

    def _is_first_use(self, address: str, status: int, facts: dict[str, str]) -> bool:
        """True of the first request of a day that is answered to who comes by a share link."""
        is_use = "share" in facts and "event" not in facts and status < 400
        return is_use and self._is_first("share", facts["share"], address, _now()[:10])

    def _is_first(self, *look: str) -> bool:
        """True of the first look of a client at a slide on a day."""
        is_known = look in self._looking
        self._looking.pop(look, None)
        self._looking[look] = None
        if len(self._looking) > MOST_LOOKING:
            del self._looking[next(iter(self._looking))]
        return not is_known


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
