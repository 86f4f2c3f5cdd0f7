"""Logs: one line a happening, with the job it belongs to; JSON for machines, words for a terminal."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.settings import LogFormat, Settings
from service.telemetry.audit import shown_path

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_JOB_PATH = re.compile(r"/jobs/([A-Za-z0-9_-]{1,64})(/|$)")
#: Asked for so often that a line each would hide the others.
_QUIET = re.compile(
    r"/(healthz|readyz|metrics|static/.*|jobs/[^/]+/(slide_files|crops)/.*|jobs/[^/]+/(live-map.png|thumbnail.jpeg))$"
)

_log = structlog.stdlib.get_logger(__name__)


def configure_logs(settings: Settings, *, process: str) -> None:
    """Send what this process logs, by structlog or by the standard library, to stderr.

    Parameters
    ----------
    settings : Settings
        `log_format` and `log_level`.
    process : str
        "api" or "worker": in every line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.CallsiteParameterAdder([structlog.processors.CallsiteParameter.PROCESS]),
        lambda _logger, _method, event: {"process_kind": process, **event},
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings.log_format)],
        )
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # What is wrong with a slide is in its job's problem.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _renderers(log_format: LogFormat) -> list[structlog.typing.Processor]:
    if log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and sys.stderr.isatty()):
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]


class RequestLog:
    """Logs each request once it is answered, and gives it an id that its log lines and its response carry."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note the status on the way back."""
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
                _note(scope, answer, seconds=time.perf_counter() - started)


def _note(scope: Scope, answer: dict[str, object], *, seconds: float) -> None:
    path = scope["path"]
    job = _JOB_PATH.match(path) or _JOB_PATH.match(str(answer.get("location", "")))
    fields = {"job": job[1]} if job else {}
    client = scope["client"][0] if scope.get("client") else None
    say = _log.debug if _QUIET.match(path) else _log.info
    say(
        "request", method=scope["method"], path=shown_path(path), status=answer["status"], seconds=round(seconds, 4),
        client=client, **fields,
    )  # fmt: skip
