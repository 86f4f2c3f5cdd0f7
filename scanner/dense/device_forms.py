"""The fastest form on a GPU, found by measurement: once per machine, network, type and size of tile, and kept.

Which form wins there depends on the card, its libraries and the network, so no rule is written down: the first tile is
run in each form and timed. What was found is kept in `~/.cache/mitoscan/forms.json`, so that the next scan, or one that
is continued, computes in the same form and gets the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scanner.dense.dilation import run_dilated
from scanner.dense.fragments import run_fragments
from scanner.dense.graph import Graph, Layout, convolution_weight
from scanner.dense.triton_chain import TritonChain, TritonUnavailableError

#: Smaller images say little about a tile; they are run by dilation, which has no set-up. Pixels.
LEAST_PX = 384**2
#: Timed runs of each form, after one that sets it up; the fastest counts.
RUNS = 3


@dataclass(frozen=True)
class FormChoice:
    """What was measured, and what follows."""

    form: str
    #: Seconds of one tile in each form; infinite for one that the device cannot run.
    seconds: dict[str, float]

    def __str__(self) -> str:
        """For people: the winner first."""
        ranked = sorted(self.seconds.items(), key=lambda item: item[1])
        times = ", ".join(f"{form} {1000 * seconds:.2f} ms" for form, seconds in ranked)
        return f"{self.form} ({times})"


class DeviceForms:
    """The forms of one dense net on a GPU."""

    def __init__(self, graph: Graph, layout: Layout, *, folder: Path | None = None) -> None:
        self.graph = graph
        self.layout = layout
        self.folder = folder
        self.triton = self._triton()
        self.choices: dict[str, FormChoice] = {}

    @property
    def names(self) -> list[str]:
        """The forms that there are."""
        return ["dilation", "fragments", *(["triton"] if self.triton else [])]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, h, w) in the fastest form."""
        if images.shape[2] * images.shape[3] < LEAST_PX:
            return self.run("dilation", images)
        return self.run(self.choose(images).form, images)

    def run(self, form: str, images: Tensor) -> Tensor:
        """The same in the form of that name."""
        if form == "triton" and self.triton is not None:
            return self.triton(images)
        return (run_fragments if form == "fragments" else run_dilated)(self.graph, self.layout, images)

    def choose(self, images: Tensor) -> FormChoice:
        """The choice for images of that type and about that size on that device: known, or measured now on these."""
        key = self._key(images)
        if key not in self.choices:
            folder = self.folder or cache_folder()
            known = read_choices(folder).get(key)
            if known is None or known.form not in self.names:
                known = measure_forms({name: _bound(self.run, name, images) for name in self.names}, images.device)
                keep_choice(folder, key, known)
            self.choices[key] = known
        return self.choices[key]

    def _triton(self) -> TritonChain | None:
        try:
            return TritonChain(self.graph, self.layout)
        except TritonUnavailableError:
            return None

    def _key(self, images: Tensor) -> str:
        """Everything that the choice may depend on."""
        weights = [weight for node in self.graph.nodes if (weight := convolution_weight(node.layer)) is not None]
        grids = [[place.grid for place in axis] for axis in (self.layout.rows, self.layout.cols)]
        on_gpu = images.device.type == "cuda"
        content = [
            torch.cuda.get_device_name(images.device) if on_gpu else images.device.type,
            torch.__version__, _version("triton"), str(images.dtype),
            images.shape[0], (images.shape[2] * images.shape[3]).bit_length(),  # images of about that many pixels
            torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
            [list(weight.shape) for weight in weights], grids, self.names,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _bound(run: Callable[[str, Tensor], Tensor], name: str, images: Tensor) -> Callable[[], Tensor]:
    return lambda: run(name, images)


def measure_forms(forms: Mapping[str, Callable[[], object]], device: torch.device) -> FormChoice:
    """Time each form on `device`; the fastest is chosen, the first one named if several are.

    Raises
    ------
    torch.OutOfMemoryError
        The device has no memory for any of them.
    """
    seconds: dict[str, float] = {}
    failure: Exception | None = None
    for name, run in forms.items():
        try:
            run()
            seconds[name] = min(_seconds_of(run, device) for _ in range(RUNS))
        except (torch.OutOfMemoryError, TritonUnavailableError) as error:
            seconds[name], failure = math.inf, error
    best = min(seconds, key=lambda name: seconds[name])
    if failure is not None and math.isinf(seconds[best]):
        raise failure
    return FormChoice(best, seconds)


def _seconds_of(run: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        started = time.perf_counter()
        run()
        return time.perf_counter() - started
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


def cache_folder() -> Path:
    """Where measurements are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mitoscan"


def read_choices(folder: Path) -> dict[str, FormChoice]:
    """What was measured before; nothing where there is no file, or none that can be read."""
    try:
        kept: dict[str, Any] = json.loads((folder / "forms.json").read_text(encoding="utf-8"))
        return {key: FormChoice(entry["form"], entry["seconds"]) for key, entry in kept.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def keep_choice(folder: Path, key: str, choice: FormChoice) -> None:
    """Add a measurement to the file; where that cannot be written, the next process measures again."""
    kept = {name: asdict(entry) for name, entry in (read_choices(folder) | {key: choice}).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False, encoding="utf-8") as file:
            json.dump(kept, file, indent=1, sort_keys=True)
        os.replace(file.name, folder / "forms.json")  # Whole, whoever reads or writes at the same time.
    except OSError:
        return


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
