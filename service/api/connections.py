"""Connections: uvicorn's HTTP protocol with timeouts where uvicorn would wait forever.

A client has `timeout_keep_alive` seconds to send the head of a request, to read what was sent to it, and, if it was
answered before it had sent its whole body, to finish sending: those bytes are read and dropped, so that the client gets
to read the answer.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


class TimedConnection(H11Protocol):
    """A connection that is closed when a timeout expires."""

    _head_clock: asyncio.TimerHandle | None = None
    _reading_clock: asyncio.TimerHandle | None = None
    _rest_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request's head."""
        super().connection_made(transport)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timeouts."""
        for clock in (self._head_clock, self._reading_clock, self._rest_clock):
            if clock:
                clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; start or cancel the timeout of a request's head."""
        super().data_received(data)
        self._time_head()

    def on_response_complete(self) -> None:
        """After an answer: start the timeout of the rest of the request, if its body is still being sent."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._rest_clock = self.loop.call_later(self.timeout_keep_alive, self._cut_off_rest, self.cycle)

    def pause_writing(self) -> None:
        """Stop sending until the client has read, and start the timeout of that."""
        super().pause_writing()
        self._reading_clock = self._reading_clock or self._cut_off_later()

    def resume_writing(self) -> None:
        """Resume sending."""
        super().resume_writing()
        if self._reading_clock:
            self._reading_clock.cancel()
            self._reading_clock = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if the client has not read what was sent last."""
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
