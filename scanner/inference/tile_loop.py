"""The loop over tiles: readers ahead, the device's queue, whoever takes the scores.

Readers work ahead in threads, the device has a queue of its own, and whoever takes the scores writes them meanwhile,
so that none of the three waits for another more than it must.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice

from scanner.devices.device_queue import Pending, Pixels, StageSeconds
from scanner.devices.out_of_memory import TileSplitter
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile
from scanner.inference.read_ahead import ReadTile, batches, read_ahead
from scanner.inference.scorer import IN_FLIGHT, SEVERAL, Scorer


@dataclass(frozen=True)
class ScoredTile:
    """A tile with the probabilities of its write box, or None where its pixels cannot be read."""

    tile: Tile
    #: (K, h, w): a layer for each class that the card maps.
    values: FloatMap | None


def score_tiles(
    scorer: Scorer,
    read: Callable[[Box], Pixels],
    tiles: Iterable[Tile],
    *,
    batch_size: int = 1,
    workers: int = 2,
    seconds: StageSeconds | None = None,
) -> Iterator[ScoredTile]:
    """Score tiles in their order, reading ahead, two batches in flight.

    A batch that the device has no memory for is scored in halves, of halves if need be, and so are all that come
    after it and are as large: the scan goes on.

    Parameters
    ----------
    scorer : Scorer
    read : callable
        Box in grid pixels -> (h, w, 3) uint8.
    tiles : iterable of Tile
    batch_size : int
        Neighbouring tiles of one size that go through the network together.
    workers : int
        Reader threads.
    seconds : StageSeconds, optional
        Grows by the time of readers and device; left out for what is no part of a scan's network stage.

    Raises
    ------
    NonFiniteScoreError
        The network's scores of a tile are NaN or infinite.
    """
    seconds, remaining = seconds or StageSeconds(), iter(tiles)
    first = list(islice(remaining, SEVERAL * batch_size))
    with closing(scorer.open_queue(seconds, batches=len(first) // batch_size)) as queue:
        splitter = TileSplitter(queue, context_px=scorer.context_px, stride=scorer.stride, alignment=scorer.alignment)
        flight: deque[tuple[list[ReadTile], Pending]] = deque()
        for batch in batches(read_ahead(seconds, read, chain(first, remaining), workers=workers), batch_size):
            parts = [pixels for _, pixels in batch if pixels is not None]
            flight.append((batch, splitter.launch(parts)))
            if len(flight) == IN_FLIGHT * queue.at_once:
                yield from _landed(scorer, *flight.popleft())
        while flight:
            yield from _landed(scorer, *flight.popleft())


def _landed(scorer: Scorer, batch: list[ReadTile], pending: Pending) -> Iterator[ScoredTile]:
    """The tiles of a batch, once it is scored."""
    scores = iter(pending.result())
    for tile, pixels in batch:
        values = None if pixels is None else next(scores)
        if values is not None:
            scorer.refuse_non_finite(values, tile.read)
        yield ScoredTile(tile, values)
