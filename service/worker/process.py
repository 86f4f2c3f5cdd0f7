"""The worker process: sets up a Worker with its queues, handles signals, and exits."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import uuid
from functools import partial
from types import FrameType

import structlog
import torch

from service.jobs import dbos_queue, retention, webhooks
from service.jobs.migrating import open_store
from service.jobs.store import Store
from service.jobs.stow import Stow
from service.results.results import Results
from service.review.reviews import Reviews
from service.settings import Settings
from service.sharing.shares import Shares
from service.telemetry.logs import configure_logs
from service.telemetry.tracing import start_tracing, stop_tracing
from service.worker import resource_bounds
from service.worker.fetching import Fetcher
from service.worker.worker import Worker

_log = structlog.stdlib.get_logger(__name__)


def own_device(device: str, number: int) -> str:
    """The device of worker `number` of a host: each gets a GPU of its own while there are enough."""
    gpus = torch.cuda.device_count() if device in {"auto", "cuda"} else 0
    return f"cuda:{number % gpus}" if gpus else device


def run_worker(settings: Settings, worker_id: str | None = None, *, parent: int | None = None) -> None:
    """Run jobs in this process until it is told to stop, or its parent process, `parent`, has exited."""
    configure_logs(settings, process="worker")
    resource_bounds.bound_memory(settings)
    start_tracing(settings, process="worker")
    settings.results.mkdir(parents=True, exist_ok=True)
    engine = open_store(settings.store_url)
    queues = dbos_queue.QueueClient(engine)
    store = Store(engine, queues.announce_end, is_patient=True)
    worker = Worker(settings, store, worker_id or f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}")
    must_stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        must_stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    worker.send_heartbeat()
    _log.info("worker started", worker=worker.id, device=settings.device)
    dbos_queue.launch_worker(engine, worker.id, handlers=_handlers(worker, store, queues), timing=_timing(settings))
    threading.Thread(target=worker.send_heartbeats, daemon=True).start()
    _wait(must_stop, parent)
    try:
        worker.stop()
        stop_tracing()
    finally:
        # A normal exit would wait for DBOS's threads, which wait for the job that was just given back.
        os._exit(0)


def _handlers(worker: Worker, store: Store, queues: dbos_queue.QueueClient) -> dbos_queue.WorkflowHandlers:
    settings = worker.settings
    return dbos_queue.WorkflowHandlers(
        run_job=worker.run_job,
        fetch_slide=Fetcher(settings, store, queues, worker.reporter).fetch_slide,
        call_webhook=partial(webhooks.call_webhook, store, settings),
        store_annotations=Stow(settings, store, Results(settings.results)).store_annotations,
        clean=partial(_clean, settings, store, queues),
    )


def _clean(settings: Settings, store: Store, queues: dbos_queue.QueueClient) -> None:
    retention.clean(store, queues, settings, time.time(), reviewed=Reviews(store.engine).reviewed_of)
    Shares(store.engine).forget_expired(now=time.time())


def _timing(settings: Settings) -> dbos_queue.QueueTiming:
    return dbos_queue.QueueTiming(settings.webhook_attempts, settings.webhook_pause_s, settings.cleaning_schedule)


def _wait(must_stop: threading.Event, parent: int | None) -> None:
    """Wait until told to stop, or until the parent has exited: a new parent starts workers of its own."""
    while not must_stop.wait(0.5):
        if parent is not None and os.getppid() != parent:
            return
