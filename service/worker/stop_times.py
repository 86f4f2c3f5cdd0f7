"""How long each step of a shutdown may take: each waits longer than the step inside it, and compose.yaml longest."""

from __future__ import annotations

#: A worker waits for its scan to give the job back at the next tile.
GIVE_BACK_S = 8.0
#: `serve` stops all its workers at once and waits this long: for that, and for the exit of their processes.
WORKER_STOP_S = GIVE_BACK_S + 4.0
#: `serve` first waits this long for requests to end.
REQUESTS_STOP_S = 5
#: A container may take this long at most: `stop_grace_period` is longer.
SERVE_STOP_S = REQUESTS_STOP_S + WORKER_STOP_S
