"""Readers work ahead of the device, in threads: decoders let go of Python's lock, so that they run side by side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from scanner.devices.device_queue import StageSeconds
from scanner.errors import UnreadableRegionError
from scanner.geometry.arrays import Pixels
from scanner.geometry.frames import Box
from scanner.geometry.tiles import Tile

#: A tile and its pixels; None where they cannot be read.
ReadTile = tuple[Tile, Pixels | None]
#: Tiles read ahead of the device, per reader: one in hand, one waiting.
READ_AHEAD = 2


def read_ahead(
    seconds: StageSeconds, read: Callable[[Box], Pixels], tiles: Iterable[Tile], *, workers: int
) -> Iterator[ReadTile]:
    """Tiles with their pixels, in order, a bounded number of them in memory.

    Parameters
    ----------
    seconds : StageSeconds
        Its `read` grows by the time that the readers work.
    read : callable
        Box in grid pixels -> (h, w, 3) uint8.
    tiles : iterable of Tile
    workers : int
        Reader threads.
    """

    def load(tile: Tile) -> tuple[Pixels | None, float]:
        started = time.perf_counter()
        try:
            pixels = read(tile.read)
        except UnreadableRegionError:
            return None, time.perf_counter() - started
        return pixels, time.perf_counter() - started

    waiting: deque[tuple[Tile, Future[tuple[Pixels | None, float]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="reader") as pool:
        try:
            remaining = iter(tiles)
            while True:
                for tile in remaining:
                    waiting.append((tile, pool.submit(load, tile)))
                    if len(waiting) >= workers * READ_AHEAD:
                        break
                if not waiting:
                    return
                tile, future = waiting.popleft()
                pixels, busy = future.result()
                seconds.read += busy
                yield tile, pixels
        finally:
            for _, future in waiting:
                future.cancel()


def batches(parts: Iterable[ReadTile], batch_size: int) -> Iterator[list[ReadTile]]:
    """Runs of parts of one shape, at most `batch_size` long; an unreadable part stands alone."""
    batch: list[ReadTile] = []
    for part in parts:
        if batch and (len(batch) == batch_size or _shape(part) != _shape(batch[0])):
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def _shape(part: ReadTile) -> tuple[int, ...] | None:
    return None if part[1] is None else part[1].shape
