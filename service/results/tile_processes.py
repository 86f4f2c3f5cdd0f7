"""Processes that decode slides for the viewer: a file that crashes or hangs a decoder costs one, not the API.

Clients take turns, so that nobody waits for all that another has asked for, and what a client has asked for and left,
as one does who moves on over a slide, is not made.
"""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import ParamSpec, TypeVar

from scanner.errors import DamagedSlideError
from service.problems import ReportedError
from service.results.fair_turns import FairTurns

PROCESSES = 2
#: Tiles that are being made or about to be: so many that no process waits for the next.
TURNS = PROCESSES + 1
#: Address space of a tile process, so that a decoder that wants more fails, and not the machine.
MEMORY_LIMIT = 6 * 1024**3
TIMEOUT = 30.0  # seconds of making one tile
#: If a decoder has not stopped by then, its process ends.
GRACE = 5.0  # seconds

P = ParamSpec("P")
R = TypeVar("R")


class TileTooSlowError(ReportedError):
    """The tile could not be made in time."""

    problem_type = "tile-too-slow"


class ClientGoneError(Exception):
    """Nobody waits for the tile any more."""


class TileMaker:
    """Runs functions that make tiles in other processes, and replaces processes that crash."""

    def __init__(self) -> None:
        self._pool = _Pool(PROCESSES)
        #: Calls that were running or queued when a process crashed run again here, one by one: one of them is at fault.
        self._quarantine = _Pool(1)
        self._turn = asyncio.Lock()
        self._turns = FairTurns(TURNS)

    async def run_for(
        self, client: str, is_gone: Callable[[], Awaitable[bool]], function: Callable[..., R], *args: object
    ) -> R:
        """Run `function` in another process when it is the client's turn; ClientGoneError if it has left by then."""
        async with self._turns.turn(client):
            if await is_gone():
                raise ClientGoneError
            return await self.run(function, *args)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` in another process; DamagedSlideError if it crashes that process."""
        assert not kwargs
        try:
            return await self._pool.run(function, *args)
        except BrokenProcessPool:
            pass
        async with self._turn:
            try:
                return await self._quarantine.run(function, *args)
            except BrokenProcessPool as error:
                raise DamagedSlideError("the slide could not be decoded") from error

    def close(self) -> None:
        """End the processes."""
        self._pool.close()
        self._quarantine.close()


class _Pool:
    """Processes that are started when needed, and again after a crash."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._executor: ProcessPoolExecutor | None = None

    async def run(self, function: Callable[..., R], *args: object) -> R:
        """Run `function` in the pool; BrokenProcessPool if a process of the pool crashes meanwhile."""
        executor = self._executor = self._executor or self._start()
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, _in_time, function, *args)
        except BrokenProcessPool:
            if self._executor is executor:
                self.close()
            raise

    def close(self) -> None:
        """End the processes."""
        executor, self._executor = self._executor, None
        if executor:
            processes = list((executor._processes or {}).values())
            executor.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()

    def _start(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")  # A fork would share the API's sockets and locks.
        return ProcessPoolExecutor(self._processes, mp_context=spawn, initializer=_begin_process)


def _in_time(function: Callable[..., R], *args: object) -> R:
    """Run `function` with TIMEOUT; a decoder that does not react to the signal ends the process after GRACE."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TileTooSlowError(f"the tile took longer than {TIMEOUT:g} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    faulthandler.dump_traceback_later(TIMEOUT + GRACE, exit=True)
    try:
        return function(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def _begin_process() -> None:
    """Limit the memory, and exit when the API process has exited, however that happened."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the API process, which ends this one.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(0)
