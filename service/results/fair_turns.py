"""Turns at a scarce thing, fairly among clients: who asks for much waits for it behind those who ask for little."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """So many turns at a time; the waiting clients take them one after another, each its own requests in order."""

    def __init__(self, places: int) -> None:
        self._free = places
        #: Requests that wait, by client; the client whose turn is next comes first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn of `client`, and hold it."""
        await self._take(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, client: str) -> None:
        if self._free:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # The turn had just come.
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a turn that has ended to the next client that still waits."""
        while self._waiting:
            client = next(iter(self._waiting))
            own = self._waiting.pop(client)
            following = own.popleft()
            if own:
                self._waiting[client] = own
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
