"""The whole bench: every network at every stride."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmarks.dense.contestants import LOOP_PATCHES, USUAL_BATCH
from benchmarks.dense.race import Entry, Race, race
from benchmarks.dense.subjects import subjects
from scanner.errors import SettingsError


@dataclass(frozen=True)
class BenchSettings:
    """What is raced."""

    #: Names of networks; all if empty.
    networks: tuple[str, ...] = ()
    strides: Sequence[int] = (1, 2, 4, 8)
    #: Side of the scored area in pixels.
    tile: int = 512
    rounds: int = 5
    threads: int = 1
    #: Batch sizes of the loops.
    batches: tuple[int, ...] = (USUAL_BATCH,)
    #: Also torch.compile, which takes a minute to begin.
    compiled: bool = False


def run_bench(settings: BenchSettings) -> Iterator[Race]:
    """Races one after the other; loops are raced once per network, where they cost the most."""
    if any(not 1 <= batch <= LOOP_PATCHES or LOOP_PATCHES % batch for batch in settings.batches):
        raise SettingsError(f"batch sizes {settings.batches} must divide {LOOP_PATCHES}")
    if settings.rounds < 1 or settings.threads < 1 or any(q < 1 or settings.tile < 4 * q for q in settings.strides):
        raise SettingsError(f"impossible settings of a bench: {settings}")
    torch.set_num_threads(settings.threads)
    chosen = list(subjects(settings.networks))
    if not chosen:
        raise SettingsError(f"no network is called {', '.join(settings.networks)}; known: DNN1, DNN2, a shipped model")
    for subject in chosen:
        for number, stride in enumerate(settings.strides):
            tile = settings.tile // stride * stride
            entry = Entry(settings.batches, settings.compiled) if number == 0 else Entry(())
            yield race(subject, stride, tile, rounds=settings.rounds, entry=entry)
