"""Whole networks: every form in every type, as it is and as a CUDA graph, with its error and its share of the bound."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.gpu.bounds import Bounds, timed
from models.columns.dannet import DNN1, DNN2, DanNet
from models.columns.validnet import ValidNet, ValidNetConfig
from scanner.dense import DenseNet, Form, densify
from scanner.dense.gpu.cuda_graph import GraphedFunction
from scanner.dense.gpu.triton_units import UnitPlan, plan_unit
from scanner.dense.native.chain import group_units
from scanner.dense.network.graph import convolution_weight
from scanner.dense.network.layers import Step
from scanner.devices.cuda_queue import exact_convolutions
from scanner.devices.gpu_forms import GpuForm, reason_of
from scanner.errors import SettingsError
from scanner.inference.scorer import dtype_of

#: Outputs a side of the image that errors are measured on.
_ERROR_OUTPUTS = 24


@dataclass(frozen=True)
class Order:
    """What is to be measured."""

    device: torch.device
    tiles: tuple[int, ...]
    strides: tuple[int, ...]
    precisions: tuple[str, ...]
    rounds: int


@dataclass(frozen=True)
class Subject:
    """A patch classifier to measure."""

    name: str
    net: nn.Module
    patch_size: int


def subjects(names: tuple[str, ...] = ()) -> Iterator[Subject]:
    """The networks of 2013 and that of the shipped model, with random weights: speed does not depend on them."""
    for name, make in (
        ("DNN1", lambda: (DanNet(DNN1), DNN1.patch_size)),
        ("DNN2", lambda: (DanNet(DNN2), DNN2.patch_size)),
        ("ValidNet", lambda: (ValidNet(ValidNetConfig()), ValidNetConfig().patch_size)),
    ):
        if not names or name in names:
            torch.manual_seed(1)
            net, patch_size = make()
            yield Subject(name, net.eval(), patch_size)


@dataclass(frozen=True)
class Prepared:
    """A dense net in one precision on the device."""

    dense: DenseNet
    #: Convolutions with the poolings behind them.
    units: tuple[UnitPlan, ...]


def prepare(subject: Subject, stride: int, precision: str, device: torch.device) -> Prepared:
    """The forms of a subject's dense net."""
    dense = densify(subject.net, subject.patch_size, stride)
    groups = group_units(dense.graph)
    assert groups is not None  # All subjects are chains.
    units = tuple(plan_unit(dense.graph, dense.layout, *group) for group in groups)
    return Prepared(dense.to(device, dtype_of(precision)), units)


def image_of(subject: Subject, side: int, precision: str, device: torch.device) -> Tensor:
    """A tile of side x side px that is answered for, channels last in memory, in [-1, 1]."""
    length = side + subject.patch_size - 1
    image = torch.rand((1, 3, length, length), generator=torch.Generator().manual_seed(7)) * 2 - 1
    return image.to(device, dtype_of(precision)).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def network_table(subject: Subject, stride: int, order: Order, bounds: Bounds) -> Iterator[str]:
    """Lines of one network at one output stride."""
    yield f"## {subject.name}, q = {stride}"
    yield ""
    yield "| precision | tile, px | form | ns/px | Gpx/s | share of bound | max difference to float64 |"
    yield "|---|---|---|---|---|---|---|"
    check = Check(subject, stride)
    for precision in order.precisions:
        net = prepare(subject, stride, precision, order.device)
        with exact_convolutions(allow_tf32=precision == "tf32"):
            for side in order.tiles:
                image = image_of(subject, side, precision, order.device)
                least = bounds.seconds(precision, **cost(net, image))
                for form in GpuForm:
                    title = f"{precision} | {side} | {form}"
                    try:
                        yield f"| {title} | {row(net, form, image, order, least=least, check=check)} |"
                    except Exception as error:  # Whatever it is, the other forms go on, and the table says it.
                        yield f"| {title} | {reason_of(error)} | | | |"
    yield ""


def row(net: Prepared, form: GpuForm, image: Tensor, order: Order, *, least: float, check: Check) -> str:
    """The cells of one form: time and speed, share of the bound, largest difference; raises what the form does."""
    if order.device.type != "cuda" and (form.is_graphed or form is GpuForm.TRITON):
        raise SettingsError("not on a CPU: no graphs, and the interpreter of the kernels would take hours")
    dense, side = net.dense.in_form(form.layout), image.shape[2] - net.dense.patch_size + 1
    seconds = measure(dense, image, order, is_graphed=form.is_graphed)
    speed = f"{seconds / side**2 * 1e9:.3f} | {side**2 / seconds / 1e9:.3f}"
    return f"{speed} | {least / seconds:.0%} | {check.difference(dense, image):.1e}"


def measure(dense: DenseNet, image: Tensor, order: Order, *, is_graphed: bool) -> float:
    """Seconds of one tile in the form of that net."""
    if not is_graphed:
        return timed(lambda: dense(image), order.device, rounds=order.rounds)
    stream = torch.cuda.Stream(order.device)  # Graphs are captured on a stream that is not the default one.
    with torch.cuda.stream(stream):
        graphed = GraphedFunction(dense, stream, tuple(image.shape))
        graphed(image)  # The second call captures.
        return timed(lambda: graphed(image), order.device, rounds=order.rounds)


def cost(net: Prepared, image: Tensor) -> dict[str, float]:
    """Operations of a tile, and bytes that must move if each unit reads its input and writes its output once."""
    size, moved, flops = Step(*image.shape[2:]), 0.0, 0.0
    for unit in net.units:
        part, size = unit_cost(net, unit, size, image.element_size())
        flops, moved = flops + part["flops"], moved + part["size"]
    return {"flops": flops, "size": moved}


def unit_cost(net: Prepared, unit: UnitPlan, size: Step, item: int) -> tuple[dict[str, float], Step]:
    """The same for one unit and an input of that size, values of `item` bytes; and the size of its output."""
    weight = convolution_weight(net.dense.graph.nodes[unit.index].layer)
    assert weight is not None
    inner, after = replace(unit, pool=Step(1, 1), pool_stride=Step(1, 1)).output(size), unit.output(size)
    flops = 2 * weight.numel() * inner.rows * inner.cols
    values = size.rows * size.cols * weight.shape[1] + after.rows * after.cols * weight.shape[0]
    # A product per pixel takes its input from the unit before it, in registers.
    is_pixelwise = unit.kernel == unit.pool == unit.step == (1, 1)
    return {"flops": float(flops), "size": 0.0 if is_pixelwise else float(values * item)}, after


class Check:
    """The scores of a small image in float64 on the CPU, to compare with."""

    def __init__(self, subject: Subject, stride: int) -> None:
        exact = densify(copy.deepcopy(subject.net).double(), subject.patch_size, stride, form=Form.DILATION)
        self.image = image_of(subject, stride * _ERROR_OUTPUTS, "float32", torch.device("cpu"))
        self.scores = exact(self.image.double())

    def difference(self, dense: DenseNet, like: Tensor) -> float:
        """The largest difference of a logit, in that form, device and type."""
        found = dense(self.image.to(like.device, like.dtype)).double().cpu()
        rows, cols = self.scores.shape[2:]
        return float((found[:, :, :rows, :cols] - self.scores).abs().max())
