"""Metrics for Prometheus: HTTP requests of this process; jobs, workers and disk as the store knows them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_fastapi_instrumentator import Instrumentator

from service.context import Service

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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
    """Reads the store when it is asked, so that every worker counts, not only this process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        store, settings = self._service.store, self._service.settings
        jobs = GaugeMetricFamily("mitoscan_jobs", "Jobs by state", labels=["state"])
        for state, count in store.count_by_state().items():
            jobs.add_metric([state.lower()], count)
        yield jobs
        alive_since = time.time() - settings.dead_after_s
        alive = sum(row.seen_at >= alive_since for row in store.list_workers())
        yield GaugeMetricFamily("mitoscan_workers_alive", "Workers heard of lately", value=alive)
        free = shutil.disk_usage(settings.data).free
        yield GaugeMetricFamily("mitoscan_disk_free_bytes", "Free space of the data folder's disk", value=free)
        failures = GaugeMetricFamily("mitoscan_jobs_failed", "Failed jobs that are kept, by reason", labels=["reason"])
        for reason, count in store.count_failures().items():
            failures.add_metric([reason], count)
        yield failures
        area, seconds = store.scanned_area_and_seconds()
        yield GaugeMetricFamily("mitoscan_scanned_mm2", "Area scanned by the jobs that are kept", value=area)
        yield GaugeMetricFamily("mitoscan_scan_seconds", "Time spent in those scans", value=seconds)
