"""`mitoscan serve`: the API in this process, and worker processes that are restarted when they exit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

import structlog
import uvicorn

from service.access.key_ring import load_keys
from service.api.app import create_app
from service.api.connections import TimedConnection
from service.jobs.migrating import open_store
from service.settings import Settings
from service.telemetry.logs import configure_logs
from service.telemetry.tracing import start_tracing, stop_tracing
from service.worker.stop_times import REQUESTS_STOP_S, WORKER_STOP_S

#: A worker that exits sooner than this after its start is restarted with growing pauses.
QUICK_DEATH = 10.0  # seconds
MAX_PAUSE = 30.0  # seconds

_log = structlog.stdlib.get_logger(__name__)


class WorkerKeeper(threading.Thread):
    """Keeps one worker process running. A restarted worker has the same id, so that it resumes its job at once."""

    def __init__(self, settings: Settings, number: int) -> None:
        super().__init__(daemon=True, name=f"worker-keeper-{number}")
        self._number = number
        self._worker_id = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}-{number}"
        self._nice = settings.worker_nice
        self._environment = os.environ | settings.to_environment()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start the worker, and restart it whenever it exits."""
        pause = 0.0
        while not self._stopping.wait(pause):
            started = time.monotonic()
            self._process = self._start()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            died_quickly = time.monotonic() - started < QUICK_DEATH
            pause = min(MAX_PAUSE, max(1.0, pause * 2)) if died_quickly else 0.0
            _log.warning("worker exited, starting another", code=code, pause_s=pause)

    def request_stop(self) -> None:
        """Tell the worker to give its job back and exit."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Wait for the worker to exit; kill it if it does not."""
        if self._process is not None:
            try:
                self._process.wait(WORKER_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "service.cli",
            "worker",
            "--worker-id",
            self._worker_id,
            "--number",
            str(self._number),
            "--parent",
            str(os.getpid()),
        ]
        process = subprocess.Popen(command, env=self._environment)  # noqa: S603  (our own command)
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, self._nice)
        except OSError:  # It may have exited already, or the system forbids it.
            _log.info("the worker's niceness could not be set")
        return process


def run_server(settings: Settings) -> None:
    """Run the API in this process, and start its workers."""
    configure_logs(settings, process="api")
    start_tracing(settings, process="api")
    settings.data.mkdir(parents=True, exist_ok=True)
    open_store(settings.store_url).dispose()  # First: without its database nothing else should start.
    keys, new_key = load_keys(settings)
    if new_key:
        print(f"API key (shown once, role admin): {new_key}", file=sys.stderr, flush=True)
    app = create_app(settings, keys)
    keepers = [WorkerKeeper(settings, number) for number in range(settings.workers)]
    for keeper in keepers:
        keeper.start()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # service.api.behind_proxy reads them.
        timeout_graceful_shutdown=REQUESTS_STOP_S,
        timeout_keep_alive=settings.client_timeout_s,
        http=TimedConnection,
    )
    # After its shutdown uvicorn raises the signal again: that must not end this process before the workers have exited.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    try:
        _AnnouncingServer(config, new_key).run()
    finally:
        for keeper in keepers:
            keeper.request_stop()
        for keeper in keepers:
            keeper.stop()
        stop_tracing()


class _AnnouncingServer(uvicorn.Server):
    """Prints the address it listens on, which with port 0 is not known before, with a key that was just made."""

    def __init__(self, config: uvicorn.Config, new_key: str | None) -> None:
        super().__init__(config)
        self._new_key = new_key

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                print(f"mitoscan: http://{host}:{port}  (Ctrl+C stops)", file=sys.stderr, flush=True)
                if self._new_key:
                    # Behind the #, where no request carries it, and so no log of a proxy.
                    shown = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 -- compared, not bound
                    print(f"mitoscan: http://{shown}:{port}/#token={self._new_key}", file=sys.stderr, flush=True)
                    self._new_key = None
