"""Connections: HTTP as uvicorn speaks it, with a time for everything that it would wait for without end.

A client has `timeout_keep_alive` seconds for the head of a request, for taking what was sent to it, and, once it has
its answer, for ending what it is still sending: that is read and dropped meanwhile, so that it can read the answer.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


class TimedConnection(H11Protocol):
    """Is cut off when a time is over."""

    _head_clock: asyncio.TimerHandle | None = None
    _reading_clock: asyncio.TimerHandle | None = None
    _rest_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        for clock in (self._head_clock, self._reading_clock, self._rest_clock):
            if clock:
                clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, and time the head of one that is not whole."""
        super().data_received(data)
        self._time_head()

    def on_response_complete(self) -> None:
        """Wait for the next request; for the rest of this one, if its answer came before its end."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._rest_clock = self.loop.call_later(self.timeout_keep_alive, self._cut_off_rest, self.cycle)

    def pause_writing(self) -> None:
        """Stop sending until the client has read."""
        super().pause_writing()
        self._reading_clock = self._reading_clock or self._cut_off_later()

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        if self._reading_clock:
            self._reading_clock.cancel()
            self._reading_clock = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, whether or not the client takes what was sent last."""
        super().timeout_keep_alive_handler()
        self._reading_clock = self._reading_clock or self._cut_off_later()

    def _time_head(self) -> None:
        is_awaited = self.conn.their_state is h11.IDLE
        if is_awaited and self._head_clock is None:
            self._head_clock = self._cut_off_later()
        elif not is_awaited and self._head_clock:
            self._head_clock.cancel()
            self._head_clock = None

    def _cut_off_rest(self, answered: RequestResponseCycle) -> None:
        if self.cycle is answered and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _cut_off_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.timeout_keep_alive, self.transport.abort)
