"""The way to a Ray cluster, and what is known of how workers start on it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from scanner.errors import ClusterError

#: A Ray of this machine alone, for the time of the batch.
LOCAL = "local"
#: Time in which the head of a cluster must answer, s.
CONNECT_SECONDS = 10.0
#: After so many failures in a row no further worker is started.
MAX_START_FAILURES = 3
logger = logging.getLogger(__name__)


@dataclass
class Starts:
    """How the workers of a batch have started so far."""

    #: A worker has started.
    has_any: bool = False
    #: Failures since then.
    failures: int = 0
    #: Of the last one.
    cause: str = ""

    @property
    def are_given_up(self) -> bool:
        """True if no further worker shall be started; those that live go on."""
        return self.failures >= MAX_START_FAILURES

    def succeeded(self) -> None:
        """Note that a worker has started."""
        self.has_any, self.failures = True, 0

    def failed(self, error: Exception) -> None:
        """Note that a worker has not started, and log why."""
        self.failures += 1
        self.cause = _cause_of(error)
        logger.warning("a worker of the cluster has not started (%d in a row): %s", self.failures, self.cause)


def _cause_of(error: Exception) -> str:
    """The line of Ray's long message that says why: the exception at the end of a traceback, or else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if any("ray::" in line or "Traceback" in line for line in lines) else lines[0]


def _check_reachable(address: str) -> None:
    """Raise ClusterError if nobody answers at host:port: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {address!r}: {error}") from error


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected to a cluster, or with one of its own on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError("--cluster needs Ray: pip install 'mitoscan[cluster]'") from error
    _check_reachable(address)
    where: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {"address": address}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray sets its own handler, with another exit code.
    try:
        yield ray
    finally:
        ray.shutdown()
