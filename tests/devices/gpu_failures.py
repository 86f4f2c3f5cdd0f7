"""A card that is none: dense nets have forms on a CPU, of which some fail as they do on real hosts."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scanner.dense import DenseNet
from scanner.devices.device_queue import DeviceQueue, HostQueue, Pixels, StageSeconds
from scanner.devices.gpu_forms import GpuForm
from scanner.geometry.arrays import FloatMap
from scanner.inference import form_choice
from scanner.inference.scorer import Scorer


def raising(error: Exception) -> Callable[[Tensor], Tensor]:
    def fail(_scores: Tensor) -> Tensor:
        raise error

    return fail


#: What a form that fails makes of its scores, by what is wrong with the host or the form.
FAILURES: dict[str, Callable[[Tensor], Tensor]] = {
    # In these words: a plain RuntimeError, and one of subprocess, neither of them Triton's own.
    "no compiler": raising(RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")),
    "no headers": raising(subprocess.CalledProcessError(1, ["gcc", "driver.c", "-I/usr/include/python3.11"])),
    "no driver": raising(RuntimeError("0 active drivers ([]). There should only be one.")),
    "out of memory": raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    "no memory on the host": raising(MemoryError()),
    "a bug": raising(KeyError("num_warps")),
    "wrong numbers": lambda scores: 1 - scores,
    "slightly wrong numbers": lambda scores: scores + 1e-3,
    "non-finite": lambda scores: scores.index_fill(2, torch.tensor([0]), torch.nan),
    "another shape": lambda scores: scores[..., 1:],
}


class FakeCard:
    """What forms do there; by default all of them are right, and Triton with a graph is the fastest."""

    def __init__(self) -> None:
        #: By form: what is wrong with it, and the first launch with which it is.
        self.broken: dict[GpuForm, tuple[str, int]] = {}
        self.launches: Counter[GpuForm] = Counter()
        self.shapes: list[tuple[int, ...]] = []
        self.fastest = GpuForm.TRITON_GRAPH
        self.description: tuple[str, str] | None = ("Fake GPU", "driver 1")

    def break_all(self, failure: str, *, after: int = 0) -> None:
        """Let every optional form fail so, from that launch on."""
        self.broken = {form: (failure, after) for form in GpuForm if form is not GpuForm.DILATION}

    def open_form(
        self, scorer: Scorer, form: GpuForm, tile_shape: tuple[int, ...], seconds: StageSeconds
    ) -> DeviceQueue:
        """In place of Scorer's."""
        self.shapes.append(tile_shape)

        def compute(pixels: Tensor) -> Tensor:
            self.launches[form] += 1
            scores = scorer.compute(pixels)
            failure, first = self.broken.get(form, ("", 0))
            if failure and self.launches[form] > first:
                return FAILURES[failure](scores)
            return scores

        return (HostQueue if form is self.fastest else _Slow)(compute, seconds)


class _Slow(HostQueue):
    """A queue whose launches take 10 ms more."""

    def launch(self, parts: Sequence[Pixels]) -> Future[FloatMap]:
        time.sleep(0.01)
        return super().launch(parts)


def install(monkeypatch: pytest.MonkeyPatch, cache: Path) -> FakeCard:
    """Make this machine one with a card."""
    card = FakeCard()
    monkeypatch.setattr(form_choice, "has_forms", lambda scorer: isinstance(scorer.net, DenseNet) and scorer.is_fixed)
    monkeypatch.setattr(form_choice, "describe_card", lambda _device: card.description)
    monkeypatch.setattr(Scorer, "open_form", lambda *asked: card.open_form(*asked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return card
