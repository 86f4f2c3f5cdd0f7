"""Metrics for Prometheus: HTTP requests of this process; jobs, workers and scans from the database; disk space."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_fastapi_instrumentator import Instrumentator

from service.api.running.context import Service
from service.jobs import counters
from service.jobs.lifecycle import JobState

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Totals that workers count: name of the counter -> metric, its label, help text.
TOTALS = {
    counters.STAGE_SECONDS: (
        "mitoscan_stage_seconds",
        "stage",
        "Seconds that scans spent in each stage, and in total; stages overlap",
    ),
    counters.SCANNED_MM2: ("mitoscan_scanned_mm2", "", "Tissue area scanned, in mm2"),
    counters.JOBS_ENDED: ("mitoscan_jobs_ended", "state", "Jobs ended by workers"),
    counters.FAILURES: ("mitoscan_failures", "reason", "Failed jobs"),
}


def instrument(app: FastAPI) -> CollectorRegistry:
    """Count and time the requests of `app`."""
    registry = CollectorRegistry()
    Instrumentator(registry=registry, excluded_handlers=["/healthz", "/metrics"]).instrument(app)
    return registry


def render(service: Service, registry: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format."""
    own = CollectorRegistry()
    own.register(_StoreCollector(service))
    return generate_latest(registry) + generate_latest(own)


class _StoreCollector(Collector):
    """Reads the database at each scrape, so that all workers count, not only this process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        measured = self._service.counters.read()
        yield from self._collect_queue()
        for name, (metric, label, text) in TOTALS.items():
            yield _labelled(CounterMetricFamily, metric, text, label=label, values=measured.get(name, {}))
        for name in (counters.GPU_USED_BYTES, counters.GPU_TOTAL_BYTES):
            metric, text = f"mitoscan_{name}", "Memory of the worker's GPU, in bytes"
            yield _labelled(GaugeMetricFamily, metric, text, label="worker", values=measured.get(name, {}))
        free = shutil.disk_usage(self._service.settings.data).free
        yield GaugeMetricFamily("mitoscan_disk_free_bytes", "Free bytes on the data folder's disk", value=free)

    def _collect_queue(self) -> Iterator[Metric]:
        store, now = self._service.store, time.time()
        states = {state.lower(): float(count) for state, count in store.count_by_state().items()}
        yield _labelled(GaugeMetricFamily, "mitoscan_jobs", "Jobs in the database", label="state", values=states)
        oldest = store.oldest_waiting_since()
        waited = 0.0 if oldest is None else now - oldest
        yield GaugeMetricFamily(
            "mitoscan_queue_wait_seconds", "Seconds that the oldest queued job has waited", value=waited
        )
        running = store.list_jobs(state=JobState.RUNNING)
        pace = sum(job.progress.mm2_done / max(1.0, now - (job.started_at or now)) for job in running)
        yield GaugeMetricFamily(
            "mitoscan_running_mm2_per_second", "Area that running scans cover per second", value=pace
        )
        workers = self._service.presence.list_workers()
        alive = sum(row.silent_s <= self._service.settings.dead_after_s for row in workers)
        yield GaugeMetricFamily("mitoscan_workers_alive", "Workers with a recent heartbeat", value=alive)


def _labelled(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    metric: str,
    text: str,
    *,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(metric, text, labels=[label] if label else [])
    for value_of, value in values.items():
        family.add_metric([value_of] if label else [], value)
    return family
