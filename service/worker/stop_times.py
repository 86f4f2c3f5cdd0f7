"""How long each part of a stop may take: each waits longer than what it waits for, and compose.yaml longer than all."""

from __future__ import annotations

#: A worker waits for its scan to give the job back at the next tile.
GIVE_BACK_S = 8.0
#: `serve` waits for its workers, told all at once: for that, and for what a process does at its end.
WORKER_STOP_S = GIVE_BACK_S + 4.0
#: `serve` first lets requests end.
REQUESTS_STOP_S = 5
#: A container may take this long at most: `stop_grace_period` is longer.
SERVE_STOP_S = REQUESTS_STOP_S + WORKER_STOP_S
