"""The forms of a dense net on a GPU: the default one, those that must be asked for, and the way back from these.

The default is cuDNN's dilated convolutions, launched one by one: it needs no compiler and no other trick. Everything
else is optional. Whatever an optional form raises ends it for this scan: the same tile is scored again by the default.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from scanner.dense import Form
from scanner.devices.device_queue import Deferred, DeviceQueue, Pending, Pixels
from scanner.geometry.arrays import FloatMap

_log = logging.getLogger(__name__)
_GRAPHED = "-graph"


class GpuForm(StrEnum):
    """How a dense net runs on a GPU."""

    DILATION = "dilation"  # cuDNN, kernels spread
    FRAGMENTS = "fragments"  # cuDNN, offset copies
    TRITON = "triton"  # fused kernels, for chains
    DILATION_GRAPH = "dilation-graph"  # each of them with the launches of a full tile captured as one CUDA graph
    FRAGMENTS_GRAPH = "fragments-graph"
    TRITON_GRAPH = "triton-graph"

    @property
    def layout(self) -> Form:
        """The form of the dense net."""
        return Form(self.removesuffix(_GRAPHED))

    @property
    def is_graphed(self) -> bool:
        """True if full tiles are replayed from a graph."""
        return self.endswith(_GRAPHED)


DEFAULT_FORM = GpuForm.DILATION


@dataclass(frozen=True)
class FormChoice:
    """The form of one scan, and why."""

    form: GpuForm
    #: (N, h, w, C) of the full tile, for which the form is chosen; no other is captured as a graph.
    tile_shape: tuple[int, ...]
    #: Of a full tile, in each form that was timed.
    seconds: dict[str, float] = field(default_factory=dict)
    #: Forms that cannot be used in this run, with the reason.
    disqualified: dict[str, str] = field(default_factory=dict)
    #: Why the scan has gone back to the default form; grows while it runs.
    fallbacks: list[str] = field(default_factory=list)

    @property
    def is_optional(self) -> bool:
        """True if tiles are to be scored in a form that is not the default one."""
        return self.form is not DEFAULT_FORM and not self.fallbacks

    def describe(self) -> dict[str, Any]:
        """The entry of run.json."""
        return {
            "name": str(self.form),
            "seconds": self.seconds,
            "disqualified": self.disqualified,
            "fallbacks": self.fallbacks,
        }


def reason_of(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])


class FallbackQueue:
    """A queue in an optional form. The first failure closes that form, and what failed is scored by the default one."""

    at_once = 1

    def __init__(
        self, choice: FormChoice, open_optional: Callable[[], DeviceQueue], open_default: Callable[[], DeviceQueue]
    ) -> None:
        self._choice = choice
        self._open_optional, self._open_default = open_optional, open_default
        self._optional: DeviceQueue | None = None
        self._default: DeviceQueue | None = None

    def launch(self, parts: Sequence[Pixels]) -> Pending:
        """As the protocol says."""
        if self._choice.is_optional:
            try:
                self._optional = self._optional or self._open_optional()
                pending = self._optional.launch(parts)
            except Exception as error:
                self._fall_back(reason_of(error))
            else:
                return Deferred(lambda: self._wait(parts, pending))
        return self._default_queue().launch(parts)

    def free_memory(self) -> None:
        """As the protocol says."""
        for queue in self._queues():
            queue.free_memory()

    def close(self) -> None:
        """As the protocol says."""
        for queue in self._queues():
            queue.close()

    def _default_queue(self) -> DeviceQueue:
        """The queue in the default form, opened when it is first wanted."""
        self._default = self._default or self._open_default()
        return self._default

    def _fall_back(self, reason: str) -> None:
        """Score in the default form from now on; the first reason is kept, others follow from it."""
        if not self._choice.is_optional:
            return
        _log.warning("form %s has failed, the scan goes on in form %s: %s", self._choice.form, DEFAULT_FORM, reason)
        self._choice.fallbacks.append(f"{self._choice.form}: {reason}")
        if self._optional is not None:
            with suppress(Exception):  # What it holds is memory that the default form may want; it is broken as it is.
                self._optional.free_memory()

    def _wait(self, parts: Sequence[Pixels], pending: Pending) -> FloatMap:
        """The scores that the optional form computes; the default form's, if it fails."""
        try:
            values = pending.result()
        except Exception as error:
            self._fall_back(reason_of(error))
        else:
            if np.isfinite(values).all():
                return values
            # If the default form says the same, that is an error of its own, which is found where all scores are seen.
            self._fall_back("scores that are not finite")
        return self._default_queue().launch(parts).result()

    def _queues(self) -> list[DeviceQueue]:
        return [queue for queue in (self._optional, self._default) if queue is not None]
