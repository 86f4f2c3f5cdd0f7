"""Traces by OpenTelemetry, if the settings enable them: spans of requests, and one for each scan."""

from __future__ import annotations

from importlib.metadata import version

from opentelemetry import trace

from service.settings import Settings

#: Its spans are dropped until `start_tracing` has set up an exporter.
tracer = trace.get_tracer("mitoscan")


class TracingError(Exception):
    """Tracing is enabled but not installed."""


def start_tracing(settings: Settings, *, process: str) -> None:
    """Send the spans of this process to OTEL_EXPORTER_OTLP_ENDPOINT, if the settings enable it.

    Parameters
    ----------
    settings : Settings
        `otel`.
    process : str
        "api" or "worker".

    Raises
    ------
    TracingError
        The extra `otel` is not installed.
    """
    if not settings.otel:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingError(f"MITOSCAN_OTEL needs `pip install mitoscan[otel]`: {error}") from error
    resource = Resource.create({"service.name": f"mitoscan-{process}", "service.version": version("mitoscan")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def stop_tracing() -> None:
    """Send the spans that have not been sent."""
    provider = trace.get_tracer_provider()
    if hasattr(provider, "shutdown"):  # Only the SDK's provider has it.
        provider.shutdown()
