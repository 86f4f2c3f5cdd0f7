"""Which device a scan runs on: the one that it asks for, if this machine has it and it has the precision."""

from __future__ import annotations

import torch

from scanner.dense.capabilities import require_precision
from scanner.errors import SettingsError, UnavailableError


def choose_device(device: str, *, precision: str = "float32") -> torch.device:
    """The torch device of that name; "auto" is the first GPU, or else the CPU.

    Raises
    ------
    UnavailableError
        This machine has no such device, or it has no such precision.
    """
    chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else _named(device)
    require_precision(precision, chosen)
    return chosen


def _named(device: str) -> torch.device:
    try:
        named = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(f"device {device!r} is unknown; pass auto, cpu, cuda, cuda:1, ...") from error
    there = torch.accelerator.current_accelerator()
    has = [] if there is None else [f"{there.type}:{index}" for index in range(torch.accelerator.device_count())]
    if named.type != "cpu" and f"{named.type}:{named.index or 0}" not in has:
        raise UnavailableError(f"device {device!r} is not available: torch can use {', '.join(['cpu', *has])} here")
    return named
