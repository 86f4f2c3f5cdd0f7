"""Tiles in, probabilities out: the only place where a network runs on a device.

Readers work ahead in threads while the device computes, so that neither waits for the other more than it must.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.card import ModelCard
from models.normalisation import StainStatistics, apply_table, normalisation_table
from models.registry import Model
from scanner.dense import PatchwiseNet, densify
from scanner.errors import SettingsError, UnreadableRegionError
from scanner.geometry import Box
from scanner.tiles import Tile

Pixels = npt.NDArray[np.uint8]
FloatMap = npt.NDArray[np.float32]
#: Tiles read ahead of the device, per reader: one in hand, one waiting.
_READ_AHEAD = 2


@dataclass
class StageSeconds:
    """Where the time of a scan goes; readers work beside the network, so the sum may exceed the wall clock."""

    read: float = 0.0
    #: Time for which the device waited for a tile.
    wait: float = 0.0
    net: float = 0.0
    post: float = 0.0


@dataclass(frozen=True)
class ScoredTile:
    """A tile with the probabilities of its write box, or None where its pixels cannot be read."""

    tile: Tile
    values: FloatMap | None


@dataclass(frozen=True)
class Scorer:
    """A classifier made ready for one slide: (N, h, w, 3) uint8 pixels -> (N, rows, cols) float32 probabilities."""

    net: nn.Module
    #: Network input for each 8-bit value, (C, 256): holds the model's normalisation and the slide's stain.
    table: Tensor
    card: ModelCard
    device: torch.device
    seconds: StageSeconds = field(default_factory=StageSeconds)
    #: Type of the network's numbers; everything after it is float32.
    dtype: torch.dtype = torch.float32

    def __call__(self, pixels: Pixels) -> FloatMap:
        """The target class's probability for each scanned patch of each tile."""
        started = time.perf_counter()
        with torch.inference_mode():
            images = apply_table(torch.from_numpy(pixels).to(self.device), self.table)  # (N, C, H, W)
            logits = self.net(images.to(self.dtype)).float()  # (N, classes, rows, cols)
            probabilities = target_probability(logits, self.card)  # (N, rows, cols)
            values: FloatMap = probabilities.cpu().numpy()
        self.seconds.net += time.perf_counter() - started
        return values


#: Numbers that a network may be run in, by the name of the setting.
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def prepare_scorer(
    model: Model,
    stain: StainStatistics | None,
    *,
    stride: int,
    device: str = "auto",
    engine: str = "dense",
    precision: str = "float32",
) -> Scorer:
    """The model's classifier, dense (or patch by patch), on its device.

    Parameters
    ----------
    model : Model
    stain : StainStatistics or None
        The slide's stain, for models that normalise by it.
    stride : int
        Scan stride, in grid pixels.
    device : str
        A torch device, or "auto": the GPU if there is one.
    engine : str
        "dense", or "patch" for classifiers that cannot be made dense exactly.
    precision : str
        A key of PRECISIONS; only "float32" is exact.
    """
    chosen, dtype = choose_device(device), PRECISIONS[precision]
    if engine == "dense":
        net: nn.Module = densify(model.net, model.card.patch_size, stride)
    elif engine == "patch":
        net = PatchwiseNet(model.net, model.card.patch_size, stride)
    else:
        raise SettingsError(f"engine {engine!r} is unknown; known: dense, patch")
    table = normalisation_table(model.card.normalisation, stain)
    # The classifier's own weights are never converted: the patch engine works on a copy.
    net = net if dtype is torch.float32 else copy.deepcopy(net).to(dtype)
    return Scorer(net.to(chosen), table.to(chosen), model.card, chosen, dtype=dtype)


def choose_device(device: str) -> torch.device:
    """The torch device of that name; "auto" is the first GPU, or else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"device {device!r} is not available: {str(error).splitlines()[0]}") from error
    return chosen


def target_probability(logits: Tensor, card: ModelCard) -> Tensor:
    """The calibrated probability of the card's target class.

    Parameters
    ----------
    logits : Tensor of shape (N, classes, rows, cols)
    card : ModelCard

    Returns
    -------
    Tensor of shape (N, rows, cols)
    """
    target = logits[:, card.target_index]
    others = [logits[:, i] for i in range(logits.shape[1]) if i != card.target_index]
    rest = others[0] if len(others) == 1 else torch.logsumexp(torch.stack(others), dim=0)
    return torch.sigmoid((target - rest - card.calibration.bias) / card.calibration.temperature)


def score_tiles(
    scorer: Scorer, read: Callable[[Box], Pixels], tiles: Iterable[Tile], *, batch_size: int = 1, workers: int = 2
) -> Iterator[ScoredTile]:
    """Score tiles in their order, reading ahead.

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
    """
    for batch in _batches(_read_ahead(scorer.seconds, read, tiles, workers=workers), batch_size):
        pixels = [part for _, part in batch if part is not None]
        scored = iter(scorer(np.stack(pixels))) if pixels else iter(())
        for tile, part in batch:
            yield ScoredTile(tile, None if part is None else next(scored))


_Read = tuple[Tile, Pixels | None]


def _read_ahead(
    seconds: StageSeconds, read: Callable[[Box], Pixels], tiles: Iterable[Tile], *, workers: int
) -> Iterator[_Read]:
    """Tiles with their pixels (None: unreadable), in order, a bounded number of them in memory."""

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
                    if len(waiting) >= workers * _READ_AHEAD:
                        break
                if not waiting:
                    return
                tile, future = waiting.popleft()
                started = time.perf_counter()
                pixels, busy = future.result()
                seconds.wait += time.perf_counter() - started
                seconds.read += busy
                yield tile, pixels
        finally:
            for _, future in waiting:
                future.cancel()


def _batches(parts: Iterable[_Read], batch_size: int) -> Iterator[list[_Read]]:
    """Runs of parts of one shape, at most `batch_size` long; an unreadable part stands alone."""
    batch: list[_Read] = []
    for part in parts:
        if batch and (len(batch) == batch_size or _shape(part) != _shape(batch[0])):
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def _shape(part: _Read) -> tuple[int, ...] | None:
    return None if part[1] is None else part[1].shape
