"""Logs: one line per event, with the job it belongs to; JSON, or text on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog

from service.settings import Settings
from service.settings.rules import LogFormat


def configure_logs(settings: Settings, *, process: str) -> None:
    """Send the logs of this process, whether by structlog or by the standard library, to stderr.

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
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # Errors of a slide are in its job's problem.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _renderers(log_format: LogFormat) -> list[structlog.typing.Processor]:
    if log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and sys.stderr.isatty()):
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
