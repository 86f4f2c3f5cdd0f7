"""Where a command's time goes: its start, its slides, its end; together they are the life of the process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from scanner.stage_clock import Spent, StageClock

#: Loading libraries and the model, its network, the list of slides; then the scans; then page and batch.json.
START, SLIDES, END = "start", "slides", "end"


def _since_start() -> float:
    """Wall seconds since the process began: of its processor time, where the system does not say."""
    try:
        # proc(5): field 22, the 20th after the name in brackets, in clock ticks since the machine was started.
        ticks = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return time.process_time()


def begin_command() -> StageClock:
    """The clock of this process, in its first stage."""
    return StageClock(START, {START: Spent(_since_start(), time.process_time())})
