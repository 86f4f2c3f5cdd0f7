"""Pixels in, probabilities out: the only place where a network runs on a device."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from models.card import ModelCard
from models.elementwise import sigmoid
from models.normalisation import StainStatistics
from models.pixel_tables import apply_table, normalisation_table
from models.registry import Model
from scanner.dense import DenseNet, Form
from scanner.devices.cuda_queue import CudaQueue, exact_convolutions
from scanner.devices.device import choose_device
from scanner.devices.device_queue import DeviceQueue, HostQueue, Pixels, StageSeconds
from scanner.devices.gpu_forms import FallbackQueue, FormChoice, GpuForm
from scanner.errors import NonFiniteScoreError
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Box
from scanner.inference.engine import choose_network

#: Batches on their way through the device, for each that it computes at once: the other goes up or down.
IN_FLIGHT = 2
#: Batches that a processor computes at once, if there are SEVERAL or more: with fewer, all of it works on one.
SIDE_BY_SIDE, SEVERAL = 2, 4


@dataclass(frozen=True)
class Scorer:
    """A classifier made ready for one slide: (N, h, w, 3) uint8 pixels -> (N, K, rows, cols) float32 probabilities."""

    net: nn.Module
    #: Network input for each 8-bit value, (C, 256): holds the model's normalisation and the slide's stain.
    table: Tensor
    card: ModelCard
    device: torch.device
    #: Type of the network's numbers; everything after it is float32.
    dtype: torch.dtype = torch.float32
    #: On a GPU, float32 numbers are cut to 10 bits before they are multiplied.
    is_tf32: bool = False
    #: What is scored, for messages.
    slide_name: str = ""
    #: The form that was chosen for a dense net on a GPU; None elsewhere.
    choice: FormChoice | None = None

    def __call__(self, pixels: Pixels) -> FloatMap:
        """The probability of each mapped class, for each scanned patch of each tile."""
        values: FloatMap = self.compute(torch.from_numpy(pixels).to(self.device)).cpu().numpy()
        return values

    @torch.inference_mode()
    def compute(self, pixels: Tensor) -> Tensor:
        """The same on the device: only 8-bit pixels go there, and only the mapped classes' probabilities come back."""
        with self.arithmetic():
            net, table = self.net, self.table.to(self.dtype)
            logits = net.score_bytes(pixels, table) if isinstance(net, DenseNet) else net(self.normalise(pixels))
            return self.probability(logits)  # (N, K, rows, cols)

    @property
    def stride(self) -> int:
        """Scan stride, in grid px."""
        return int(getattr(self.net, "stride", 1))

    @property
    def margin(self) -> int:
        """Grid px that a tile is read beyond its patches."""
        return 0

    @property
    def context_px(self) -> int:
        """Side of what is read for a single output, in grid px: a patch, and the margin around it."""
        return self.card.patch_size + 2 * self.margin

    @property
    def alignment(self) -> int:
        """Map px of which a tile, or half of one, begins at a multiple."""
        return 1

    @property
    def is_fixed(self) -> bool:
        """True if the device does the same for every tile of one shape, whatever lies in it."""
        return isinstance(self.net, DenseNet)  # The other engines take their patches in batches of their own.

    def of_slide(self, name: str, stain: StainStatistics | None) -> Scorer:
        """The same classifier, network shared, for a slide of that name and stain."""
        table = normalisation_table(self.card.normalisation, stain).to(self.device)
        return replace(self, table=table, slide_name=name)

    def without_gate(self) -> Scorer:
        """The scorer that computes every output, whatever the tile shows."""
        return self

    def arithmetic(self) -> AbstractContextManager[None]:
        """What the device is told about numbers."""
        return exact_convolutions(allow_tf32=self.is_tf32) if self.device.type == "cuda" else nullcontext()

    def normalise(self, pixels: Tensor) -> Tensor:
        """(N, h, w, 3) uint8 -> (N, C, h, w) in the network's type, channels last in memory."""
        return apply_table(pixels, self.table.to(self.dtype))

    def probability(self, logits: Tensor) -> Tensor:
        """(N, classes, rows, cols) -> (N, K, rows, cols), float32: a layer for each class that the card maps.

        NaN where any class's score is not finite: an infinite one would pass for a probability of 0 or 1.
        """
        scores = logits.float()
        found = torch.stack([target_probability(scores, self.card, target) for target in self.card.mapped], dim=1)
        return found.masked_fill(~torch.isfinite(scores).all(dim=1, keepdim=True), torch.nan)

    @property
    def precision(self) -> str:
        """Its name in `scanner.settings.PRECISIONS`."""
        return "tf32" if self.is_tf32 else str(self.dtype).removeprefix("torch.")

    @property
    def form(self) -> str:
        """How the network runs: the form of a dense net, or the kind of any other."""
        if self.choice is not None and self.is_fixed:
            return str(self.choice.form)
        return str(getattr(self.net, "form", type(self.net).__name__))

    def refuse_non_finite(self, values: FloatMap, read: Box) -> None:
        """Raise NonFiniteScoreError if a score is no finite number, of a tile that was read at `read`, in grid px.

        To be asked before anything else is done to the scores: to a comparison, NaN is background.
        """
        if not np.isfinite(values).all():
            raise NonFiniteScoreError(
                f"{self.slide_name or 'tile'}: scores of the tile at grid px {read.top} to {read.bottom} down, "
                f"{read.left} to {read.right} across are not finite (form {self.form}, precision {self.precision}, on "
                f"{self.device}); in float32 too, the model's weights are at fault"
            )

    @property
    def is_native(self) -> bool:
        """True if the native form computes, which keeps a few rows of each layer."""
        return getattr(self.net, "form", None) is Form.NATIVE and self.device.type == "cpu"

    @property
    def at_once(self) -> int:
        """Batches that are computed side by side, if there are several."""
        # torch's own forms take too much memory for two, and their threads wait for each other no more than they must.
        return SIDE_BY_SIDE if self.is_native and torch.get_num_threads() > 1 else 1

    def open_queue(self, seconds: StageSeconds, *, batches: int) -> DeviceQueue:
        """A queue for so many batches or more, in this scan's form; `seconds` counts what the device does."""
        choice = self.choice
        if choice is None or not choice.is_optional or not self.is_fixed:
            return self._open_default(seconds, batches)
        optional = partial(self.open_form, choice.form, choice.tile_shape, seconds)
        return FallbackQueue(choice, optional, partial(self._open_default, seconds, batches))

    def open_form(self, form: GpuForm, tile_shape: tuple[int, ...], seconds: StageSeconds) -> DeviceQueue:
        """A queue for a dense net in that form, full tiles of (N, h, w, C); SettingsError if it has none."""
        assert isinstance(self.net, DenseNet)
        compute = replace(self, net=self.net.in_form(form.layout)).compute
        if self.device.type != "cuda":
            return HostQueue(compute, seconds)
        return CudaQueue(compute, seconds, self.device, graph_shape=tile_shape if form.is_graphed else None)

    def _open_default(self, seconds: StageSeconds, batches: int) -> DeviceQueue:
        if self.device.type == "cuda":
            return CudaQueue(self.compute, seconds, self.device)
        return HostQueue(self.compute, seconds, at_once=self.at_once if batches >= SEVERAL else 1)


def dtype_of(precision: str) -> torch.dtype:
    """Type of a network's numbers in one of PRECISIONS: "tf32" is float32, multiplied in another way."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


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
        Of `scanner.settings.ENGINES`.
    precision : str
        Of `scanner.settings.PRECISIONS`; only "float32" is exact.

    Raises
    ------
    UnavailableError
        There is no such device, or it has no such precision.
    """
    chosen, dtype = choose_device(device, precision=precision), dtype_of(precision)
    with _on_one_thread():
        net = choose_network(model, stride=stride, engine=engine)
    table = normalisation_table(model.card.normalisation, stain)
    # The classifier's own weights are never converted: the patch engine works on a copy.
    net = net if dtype is torch.float32 else copy.deepcopy(net).to(dtype)
    return Scorer(net.to(chosen), table.to(chosen), model.card, chosen, dtype=dtype, is_tf32=precision == "tf32")


@contextmanager
def _on_one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone: to share what lasts microseconds takes longer than to do it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def target_probability(logits: Tensor, card: ModelCard, target: str | None = None) -> Tensor:
    """The calibrated probability of one class against all others.

    Parameters
    ----------
    logits : Tensor of shape (N, classes, rows, cols)
    card : ModelCard
    target : str, optional
        A class of the card; its target if left out.

    Returns
    -------
    Tensor of shape (N, rows, cols)
    """
    index = card.target_index if target is None else card.classes.index(target)
    others = [logits[:, i] for i in range(logits.shape[1]) if i != index]
    rest = others[0] if len(others) == 1 else torch.logsumexp(torch.stack(others), dim=0)
    return sigmoid((logits[:, index] - rest - card.calibration.bias) / card.calibration.temperature)
