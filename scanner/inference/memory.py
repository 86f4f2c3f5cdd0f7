"""Memory of a scan: bounded by the tile and the network's widest layer, never by the slide; stated before it starts.

The bound is on the resident set of the process on a CPU, and on the memory of the device on a GPU.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scanner.dense import PatchwiseNet
from scanner.dense.zones import ZonedNet
from scanner.errors import SettingsError
from scanner.inference.read_ahead import READ_AHEAD
from scanner.inference.scorer import IN_FLIGHT, Scorer
from scanner.settings import ScanSettings, reader_count, tile_side

#: Interpreter, libraries, weights: what a process holds before its first tile.
PROCESS_BYTES = 450 << 20
#: Strips of the slide and bands of the map, read one at a time for tissue, peaks and pictures.
STRIPS_BYTES = 600 << 20
#: A channel of a grid px on its way into the network: 8 bits, table index, a number, and these stacked.
BYTES_PER_INPUT = 16
#: One that waits for the device, or is being resampled from a finer slide.
BYTES_PER_READ = 8
#: Convolutions keep a second copy of what they work on, in a layout of their own.
SCRATCH = 2.0
#: A tile may take this share of the machine: others live there too.
SHARE = 0.75
#: Tiles are not made smaller than this: the halo would cost more than the tile.
SMALLEST_SIDE = 128
#: Limits on memory that a container sets.
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Output px, per axis, of the tile that the widest layer is measured on.
_PROBE_OUTPUTS = 24


def choose_tile_side(scorer: Scorer, settings: ScanSettings, stride: int) -> int:
    """Side of a tile in grid px: as the caller wants it, or else the usual one, halved until it fits the machine.

    On a CPU it depends on the size of the machine and not on what happens to be free, so that a scan that is continued
    finds the tiles that it began with. A GPU may be shared, and what it has free is all there is: there, a scan that is
    continued keeps the side it began with (`resuming.resume_plan`).

    Raises
    ------
    SettingsError
        The tile, or the smallest tile, does not fit.
    """
    side = tile_side(settings, stride, device_type=scorer.device.type, is_native=scorer.is_native)
    limit = SHARE * memory_of_machine(scorer.device)
    per_px = widest_layer(scorer, stride)
    while (needed := memory_bound(scorer, settings, side=side, widest=per_px)) > limit:
        if settings.tile_size is not None or side // 2 < SMALLEST_SIDE:
            raise SettingsError(
                f"tile_size = {side} needs {_gib(needed)} for {scorer.card.name}, this machine gives {_gib(limit)}; "
                "pass a smaller --tile-size or fewer --workers"
            )
        side //= 2
    unit = scorer.alignment * stride
    return side if scorer.alignment == 1 else max(unit, side - side % unit)


def memory_bound(scorer: Scorer, settings: ScanSettings, *, side: int, widest: float | None = None) -> int:
    """Bytes that a scan with tiles of that side needs at most.

    Parameters
    ----------
    scorer : Scorer
    settings : ScanSettings
    side : int
        Of a tile, in grid px.
    widest : float, optional
        From `widest_layer`, if it is known.
    """
    widest = widest_layer(scorer, scorer.stride) if widest is None else widest
    read_px, channels = (side + scorer.context_px) ** 2, scorer.card.normalisation.pixel_channels
    network = scorer.at_once * settings.batch_size * read_px * (BYTES_PER_INPUT * channels + SCRATCH * widest)
    network += getattr(scorer.net, "block_bytes", 0)
    if scorer.device.type == "cuda":
        # A tile of another shape may be run beside the memory that a graph holds for the full one.
        return int(2 * network)
    waiting = (
        (reader_count(settings, scorer.device.type) * READ_AHEAD + IN_FLIGHT * scorer.at_once * settings.batch_size)
        * read_px
        * channels
        * BYTES_PER_READ
    )
    return int(PROCESS_BYTES + STRIPS_BYTES + network + waiting)


def widest_layer(scorer: Scorer, stride: int) -> float:
    """Bytes per grid px of what goes into and comes out of the network's widest layer, measured on a small tile.

    0 for a network that works patch by patch or by zones: it takes so many at a time, however large the tile.
    """
    if isinstance(getattr(scorer.net, "inner", scorer.net), (PatchwiseNet, ZonedNet)):
        return 0.0
    scorer = scorer.without_gate()
    side = scorer.card.patch_size + (_PROBE_OUTPUTS - 1) * stride
    pixels = np.full((1, side, side, scorer.card.normalisation.pixel_channels), 200, np.uint8)
    with _watching_layers(scorer.net) as sizes:
        scorer(pixels)
    return max(sizes, default=0) / side**2


@contextmanager
def _watching_layers(net: nn.Module) -> Iterator[list[int]]:
    """Bytes of inputs and outputs of every layer that runs meanwhile."""
    sizes: list[int] = []

    def note(_layer: nn.Module, inputs: Any, output: Any) -> None:
        sizes.append(sum(part.numel() * part.element_size() for part in (*inputs, output) if isinstance(part, Tensor)))

    leaves = [module for module in net.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        yield sizes
    finally:
        for handle in handles:
            handle.remove()


def memory_of_machine(device: torch.device) -> int:
    """Bytes that a GPU has free, or that the machine has in all, or the container or this process, if that is less.

    Of a GPU, what torch holds and does not use is free too: it is given back, or used again, when it is wanted.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    own, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return installed_memory() if own == resource.RLIM_INFINITY else min(installed_memory(), own)


def installed_memory() -> int:
    """Bytes that the machine has, or the container if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([total, *_container_limits()])


def _container_limits() -> Iterator[int]:
    for name in _CGROUP_LIMITS:
        try:
            yield int(Path(name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # No container, or "max".
            continue


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
