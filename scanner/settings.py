"""ScanSettings: what the caller may choose; everything else is the model's."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypedDict

from scanner.errors import MaskError, SettingsError
from scanner.geometry.windows import window_from_text

#: Positions of a slide are scanned at least this densely, in grid pixels: beyond it, figures are stepped over.
MAX_STRIDE = 64
#: Side of a tile in grid px, at most.
MAX_TILE_SIDE = 1 << 16
#: Threads that read ahead, where nobody says how many.
MOST_READERS = 16
#: Side of a tile on a GPU with room for it, in grid px: large enough that launches and halos cost little.
GPU_SIDE = 4096
#: Scan stride where a coarse scan says that it matters.
FINE_STRIDE = 2


#: Numbers that a network may be run in; all but the first are off by what run.json says.
PRECISIONS = ("float32", "tf32", "bfloat16")
#: How a classifier runs over a tile: `scanner.inference.engine` says what each means.
ENGINES = ("dense", "zones", "patch")
#: How a dense net runs on a GPU: in cuDNN's dilated convolutions, or in the fastest of all forms there, measured on one
#: tile: fragments, Triton kernels and CUDA graphs as well, of which none has a committed measurement of a card.
GPU_FORMS = ("dilation", "measured")
#: Side of a tile, in map px, of a scan patch by patch: some 4,000 patches of one to two milliseconds.
PATCHWISE_SIDE = 64
#: Files that are only written if asked for.
EXPORTS = ("dicom", "grand-challenge", "zarr")


class SettingsKeywords(TypedDict, total=False):
    """The keyword arguments of `scan`, as in ScanSettings."""

    stride: int | None
    coarse_to_fine: bool
    threshold: float | None
    mpp: float | None
    image: int | None
    device: str
    tile_size: int | None
    batch_size: int
    workers: int | None
    engine: str
    precision: str
    gpu_form: str
    tissue: bool
    keep_ink: bool
    any_stain: bool
    background: bool
    candidate_floor: float
    verify_places: int
    hotspot: str
    hotspots: int
    mask: Path | None
    exports: tuple[str, ...]
    name: str | None


@dataclass(frozen=True)
class ScanSettings:
    """Choices of one scan; None means the model card's value.

    Examples
    --------
    >>> from scanner.settings import ScanSettings
    >>> ScanSettings(stride=4).threshold is None  # The card's.
    True
    >>> ScanSettings(stride=0)
    Traceback (most recent call last):
        ...
    scanner.errors.SettingsError: stride = 0 is impossible
    """

    #: Distance of two scanned positions, in grid pixels.
    stride: int | None = None
    #: Scan every COARSE_STRIDE-th px, and at `stride` (FINE_STRIDE, if None) only around what might be a figure
    #: (`scanner.inference.coarse_to_fine`).
    coarse_to_fine: bool = False
    #: Detections have at least this score.
    threshold: float | None = None
    #: Micrometres per level-0 pixel, overriding what the slide says.
    mpp: float | None = None
    #: Which image of the slide's file; None: the first that is no overview.
    image: int | None = None
    #: A torch device, or "auto".
    device: str = "auto"
    #: Side of the area that a tile answers for, in grid pixels; None: by the stride, so that every stride needs about
    #: the same memory. Changes speed and memory, never results.
    tile_size: int | None = None
    #: Tiles that go through the network together. Changes speed and memory, never results.
    batch_size: int = 1
    #: Threads that read ahead; None: 2 beside a CPU, which they share, and one per processor beside a GPU, which waits
    #: for them, up to MOST_READERS.
    workers: int | None = None
    #: "dense", exact, by zones where the network pads; "zones", or "patch": patch by patch, whatever that costs.
    engine: str = "dense"
    #: Of PRECISIONS. "float32" is exact; "bfloat16" is several times faster on a CPU with AMX or a GPU, its scores off
    #: by about 0.01; "tf32" is for GPUs.
    precision: str = "float32"
    #: Of GPU_FORMS: how a dense net runs on a GPU.
    gpu_form: str = "dilation"
    #: False scans glass as well.
    tissue: bool = True
    #: True takes pen marks, ink and dark dirt for tissue (`scanner.survey.ink`).
    keep_ink: bool = False
    #: True scans grey and fluorescent slides as well, whatever that means for a model of stained tissue.
    any_stain: bool = False
    #: True calibrates scores by the slide's background, if the model's card says so (`scanner.detections.background`).
    background: bool = True
    #: Places that are scanned a second time, with other tiles, to see that tiles do not show; 0: none.
    verify_places: int = 0
    #: Candidates are kept down to this score, so that the threshold can change without a rescan.
    candidate_floor: float = 0.05
    #: Window of a hotspot: a preset's name, or the area of a square in mm2.
    hotspot: str = "2mm2"
    #: Hotspots sought: the best, and alternatives that do not overlap it.
    hotspots: int = 3
    #: File, or folder with a file per slide, that restricts the scan (`scanner.survey.masks`).
    mask: Path | None = None
    #: Files beyond those that every scan writes, of EXPORTS.
    exports: tuple[str, ...] = ()
    #: What the slide is called in the report and in pictures; None: its file's name, "": nothing.
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values, naming them."""
        checks = {
            "stride": self.stride is None or 1 <= self.stride <= MAX_STRIDE,
            "threshold": self.threshold is None or 0 <= self.threshold <= 1,
            "mpp": self.mpp is None or 0 < self.mpp < float("inf"),
            "image": self.image is None or self.image >= 0,
            "tile_size": self.tile_size is None or 1 <= self.tile_size <= MAX_TILE_SIDE,
            "batch_size": self.batch_size >= 1,
            "workers": self.workers is None or self.workers >= 1,
            "verify_places": self.verify_places >= 0,
            "engine": self.engine in ENGINES,
            "coarse_to_fine": not self.coarse_to_fine or self.engine == "dense",
            "precision": self.precision in PRECISIONS,
            "gpu_form": self.gpu_form in GPU_FORMS,
            "candidate_floor": 0 < self.candidate_floor <= 1,
            "hotspots": self.hotspots >= 1,
        }
        for key, holds in checks.items():
            if not holds:
                raise SettingsError(f"{key} = {getattr(self, key)!r} is impossible")
        window_from_text(self.hotspot)
        for name in self.exports:
            if name not in EXPORTS:
                raise SettingsError(f"exports = {name!r} is impossible; pass {', '.join(EXPORTS)}")
        if self.mask is not None and not self.mask.exists():
            raise MaskError(f"{self.mask}: there is no such mask")


def reader_count(settings: ScanSettings, device_type: str) -> int:
    """Threads that read ahead of a device of that type."""
    if settings.workers is not None:
        return settings.workers
    return 2 if device_type == "cpu" else max(2, min(MOST_READERS, os.cpu_count() or 2))


def scan_stride(settings: ScanSettings, card_stride: int) -> int:
    """The stride of the map."""
    return settings.stride or (FINE_STRIDE if settings.coarse_to_fine else card_stride)


def tile_side(settings: ScanSettings, stride: int, *, device_type: str = "cpu", is_native: bool = True) -> int:
    """Side of a tile in grid pixels, unless the caller chose another.

    The native form keeps a few rows of each layer: the larger its tiles, the less of them is halo. But a scan stops,
    and is given back, between tiles: one is a second's work or two. torch's forms keep whole layers, and large ones
    fall out of the cache. On a GPU it is GPU_SIDE, of which `scanner.inference.memory` takes what fits.

    Patch by patch, where a halo costs next to nothing, a tile is a few seconds' work: so much is lost with a process.
    """
    if settings.engine == "patch":
        return settings.tile_size or PATCHWISE_SIDE * stride
    if device_type == "cuda":
        return settings.tile_size or GPU_SIDE
    usual = 512 if stride == 1 else 2048 if is_native and stride >= 4 else 1024
    return settings.tile_size or usual


#: Settings that change how a scan runs but not what it finds.
#: The image is part of what is scanned, and not of how: `report.asked_for` has it there.
EXECUTION_ONLY = frozenset(
    {"image", "device", "tile_size", "batch_size", "workers", "verify_places", "any_stain", "gpu_form"}
)


def result_settings(settings: ScanSettings) -> dict[str, object]:
    """The settings that a result depends on, by name: what a resumed batch compares."""
    names = (field.name for field in fields(settings) if field.name not in EXECUTION_ONLY)
    return {name: getattr(settings, name) for name in names}
