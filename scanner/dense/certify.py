"""A certificate that a scan says of every patch what the classifier says of it: measured, not claimed.

Compared are whole outputs on the small images of `scanner.dense.certificate_images`, each as a whole, and cut into
tiles.
"""

from __future__ import annotations

import copy
import itertools
import math
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.identity import contract_sha256
from models.pixel_tables import apply_table, normalisation_table
from models.registry import Model
from models.symmetry import all_views
from scanner.dense.capabilities import offers_of
from scanner.dense.certificate_images import IMAGES
from scanner.dense.conversion.patchwise import PatchwiseNet, score_patches
from scanner.dense.dense_net import Form, densify
from scanner.dense.symmetric import with_symmetries, without_symmetries
from scanner.dense.zones import zone
from scanner.errors import InexactLayerError

#: Largest difference allowed, relative to 1 + the largest score: rounding of sums taken in another order.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
#: Measured, and allowed to differ: a scan takes them only if it is asked to.
FAST = (torch.bfloat16,)


@dataclass(frozen=True)
class Effort:
    """How much is compared."""

    strides: tuple[int, ...]
    images: tuple[str, ...]
    forms: tuple[Form, ...]
    #: Scored positions along each axis.
    positions: int
    #: After this no comparison begins; the first is always made.
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """One image, scored both ways."""

    #: "random", "border", or "adversarial"; tile edges are looked for in each. "turned": the image was turned and
    #: mirrored in all eight ways, and the scores are turned back.
    kind: str
    image: str
    dtype: str
    form: str
    stride: int
    #: Patches compared, as a whole and again in a tile that begins in the middle.
    positions: int
    #: Largest absolute difference of a score.
    difference: float
    #: What was allowed; None for precisions of which nothing is promised.
    tolerance: float | None

    @property
    def is_exact(self) -> bool:
        """True if the difference is rounding, or nothing was promised."""
        return self.tolerance is None or self.difference <= self.tolerance


def full_effort(model: Model) -> Effort:
    """What `mitoscan certify` compares."""
    strides = tuple(sorted({1, 2, 4, 8, model.card.stride}))
    return Effort(strides, tuple(IMAGES), (Form.DILATION, Form.FRAGMENTS, Form.AUTO), 6, math.inf)


def sample_effort(stride: int) -> Effort:
    """What a first scan compares: a few patches at its own stride."""
    return Effort((stride,), ("noise", "blocks"), (Form.AUTO,), 3, 10.0)


def certify(model: Model, effort: Effort | None = None) -> list[Comparison]:
    """Compare the ways in which a model can be scanned with its classifier, patch by patch.

    Parameters
    ----------
    model : Model
    effort : Effort, optional
        `full_effort` if left out.

    Returns
    -------
    list of Comparison
        Every image in every precision, form and stride.
    """
    effort = effort or full_effort(model)
    started = time.monotonic()
    comparisons: list[Comparison] = []
    for dtype, stride in itertools.product(TOLERANCES, effort.strides):
        net = _in_type(model.net, dtype)
        runs = list(_runs(net, model, stride, effort))
        if dtype is torch.float32:
            runs += [(form, run, fast) for form, run, _ in runs[-1:] for fast in _fast_here(model)]
        for name in effort.images:
            if comparisons and time.monotonic() - started > effort.seconds:
                return comparisons
            comparisons += _compare(model, net, runs, name=name, stride=stride, positions=effort.positions)
    return comparisons


def _fast_here(model: Model) -> list[torch.dtype]:
    """Those of FAST that can be measured."""
    return [number for number in FAST if not _reason_against(number, model)]


def _reason_against(number: torch.dtype, model: Model) -> str:
    """Why a model is not measured in these numbers here; empty if it is."""
    if model.is_code:
        return "TorchScript computes in the numbers that it was written with"
    offer = offers_of(torch.device("cpu"))[_type_name(number)]
    return "" if offer.forms else offer.reason


def _type_name(number: torch.dtype) -> str:
    return str(number).removeprefix("torch.")


def _not_run(model: Model, *, runs: str) -> list[dict[str, str]]:
    """What this machine cannot compare of a model that runs that way, each with its reason."""
    reasons = {_type_name(number): _reason_against(number, model) for number in FAST}
    if runs == "dense":
        offers = offers_of(torch.device("cpu"))
        reasons |= {f"{name}, native form": one.reason for name, one in offers.items() if one.forms == ("torch",)}
    return [{"what": what, "why": why} for what, why in reasons.items() if why]


#: Form, network, and the type of its numbers.
_Run = tuple[str, nn.Module, torch.dtype]


def _in_type(net: nn.Module, dtype: torch.dtype) -> nn.Module:
    weight = next(net.parameters(), None)
    return net if weight is not None and weight.dtype is dtype else copy.deepcopy(net).to(dtype)


def _runs(net: nn.Module, model: Model, stride: int, effort: Effort) -> Iterator[_Run]:
    """The dense forms; by zones where the network pads; else the batches of the patch loop."""
    side, dtype = model.card.patch_size, next((p.dtype for p in net.parameters()), torch.float32)
    if way_of(model) == "dense":
        for form in effort.forms:
            yield str(form), with_symmetries(net, side, partial(densify, stride=stride, form=form)), dtype
    elif way_of(model) == "zones":
        yield "zones", with_symmetries(net, side, lambda n, s: zone(n, s, stride)), dtype
    else:
        yield "patch", with_symmetries(net, side, lambda n, s: PatchwiseNet(n, s, stride)), dtype


def way_of(model: Model) -> str:
    """The most that can be shared between patches exactly: "dense", "zones" or "patch" (nothing)."""
    if model.is_code:
        return "patch"
    return "dense" if refusal_of(model) is None else _way_of_padded(model)


def _way_of_padded(model: Model) -> str:
    try:
        zone(*without_symmetries(model.net, model.card.patch_size), model.card.stride)
    except InexactLayerError:
        return "patch"
    return "zones"


def refusal_of(model: Model) -> InexactLayerError | None:
    """Why the classifier cannot be one dense net: its first inexact layer."""
    try:
        densify(*without_symmetries(model.net, model.card.patch_size), model.card.stride, form=Form.DILATION)
    except InexactLayerError as refusal:
        return refusal
    return None


@torch.inference_mode()
def _compare(
    model: Model, net: nn.Module, runs: list[_Run], *, name: str, stride: int, positions: int
) -> Iterator[Comparison]:
    table, side = normalisation_table(model.card.normalisation), model.card.patch_size
    kind, make = IMAGES[name]
    pixels = make(side + stride * (positions - 1), table.shape[0], side // 2)
    dtype = next((p.dtype for p in net.parameters()), torch.float32)
    image = apply_table(pixels[None], table).to(dtype)
    expected = score_patches(net, image, side, stride)
    for form, run, number in runs:
        is_fast = number in FAST
        runner = copy.deepcopy(run).to(number) if is_fast else run
        parts = {kind: _whole_and_tile(image, expected, stride, positions // 2)}
        if model.card.is_equivariant:
            parts["turned"] = list(zip(all_views(image), all_views(expected), strict=True))
        tolerance = None if is_fast else TOLERANCES[number] * (1 + float(expected.abs().max()))
        for looked_for, pairs in parts.items():
            found = [(runner(part.to(number)).to(dtype), wanted) for part, wanted in pairs]
            difference = max(float((scores - wanted).abs().max()) for scores, wanted in found)
            if not math.isfinite(difference):  # JSON has no word for it.
                difference = sys.float_info.max
            count = sum(wanted[0, 0].numel() for _, wanted in pairs)
            yield Comparison(looked_for, name, _type_name(number), form, stride, count, difference, tolerance)


def _whole_and_tile(image: Tensor, expected: Tensor, stride: int, offset: int) -> list[tuple[Tensor, Tensor]]:
    """The image and a tile that begins in its middle, each with its scores: where a tile begins must not show."""
    start = stride * offset
    return [(image, expected), (image[:, :, start:, start:], expected[:, :, offset:, offset:])]


def describe_certificate(model: Model, comparisons: list[Comparison]) -> dict[str, Any]:
    """The certificate as JSON: what was compared, the largest differences, and what it holds for."""
    refusal, runs = None if model.is_code else refusal_of(model), way_of(model)
    return {
        "model": {
            "name": model.card.name,
            "version": model.card.version,
            "sha256": model.card.sha256,
            "contract_sha256": contract_sha256(model.card),
        },
        "is_exact": all(comparison.is_exact for comparison in comparisons),
        "runs": runs,
        "first_inexact_layer": None if refusal is None else {"layer": refusal.layer, "reason": refusal.reason},
        "positions": sum(comparison.positions for comparison in comparisons),
        "kinds": sorted({comparison.kind for comparison in comparisons} | {"tile edge"}),
        "max_difference": {
            dtype: max(c.difference for c in comparisons if c.dtype == dtype)
            for dtype in sorted({c.dtype for c in comparisons})
        },
        "not_run": _not_run(model, runs=runs),
        "layers": [{"name": name, "kind": type(layer).__name__} for name, layer in model.net.named_modules() if name],
        "software": {"torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()},
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }
