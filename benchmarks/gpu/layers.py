"""Unit by unit: what cuDNN and the fused kernels need for it, beside what its operations and its bytes need."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.gpu.bounds import Bounds, timed
from benchmarks.gpu.networks import Order, Prepared, Subject, image_of, prepare, unit_cost
from scanner.dense.gpu.triton_chain import TritonChain
from scanner.dense.gpu.triton_units import UnitPlan
from scanner.dense.network.layers import Step
from scanner.devices.cuda_queue import exact_convolutions
from scanner.devices.gpu_forms import reason_of


@torch.inference_mode()
def layer_table(subject: Subject, order: Order, bounds: Bounds) -> Iterator[str]:
    """Lines of one network at the first stride, on a tile of the first size."""
    stride, side = order.strides[0], order.tiles[0]
    yield f"### {subject.name}, q = {stride}, tile {side}: unit by unit"
    yield ""
    yield "| precision | unit | cuDNN dilated, us | fused, us | bound, us | of it matrix | best share of bound |"
    yield "|---|---|---|---|---|---|---|"
    for precision in order.precisions:
        net = prepare(subject, stride, precision, order.device)
        values = image_of(subject, side, precision, order.device)
        with exact_convolutions(allow_tf32=precision == "tf32"):
            for number, unit in enumerate(net.units):
                cells = compare(net, number, values, order=order, limits=(bounds, precision))
                yield f"| {precision} | {describe(net, unit)} | {cells} |"
                values = run_layers(net, unit, values)
    yield ""


def describe(net: Prepared, unit: UnitPlan) -> str:
    """Maps, kernel, spread and pooling."""
    layer = net.dense.graph.nodes[unit.index].layer
    text = f"{layer.weight.shape[1]} to {layer.weight.shape[0]}, {unit.kernel.rows} x {unit.kernel.cols}"
    text += f" by {unit.dilation.rows}" if unit.dilation.rows > 1 else ""
    return f"{text}, {layer.activation}" + (f", pool {unit.pool.rows}" if unit.pool.rows > 1 else "")


def compare(net: Prepared, number: int, values: Tensor, *, order: Order, limits: tuple[Bounds, str]) -> str:
    """The cells of one unit; `limits`: the bounds, and the precision."""
    unit, (bounds, precision) = net.units[number], limits
    part, _ = unit_cost(net, unit, Step(*values.shape[2:]), values.element_size())
    least = bounds.seconds(precision, **part)
    matrix = part["flops"] / bounds.matrix[precision]
    plain = timed(lambda: run_layers(net, unit, values), order.device, rounds=order.rounds)
    fused = run_fused(net, number, values, order)
    best = plain if fused is None else min(plain, fused)
    said = "" if fused is None else f"{fused * 1e6:.0f}"
    return f"{plain * 1e6:.0f} | {said} | {least * 1e6:.0f} | {matrix / least:.0%} | {least / best:.0%}"


def run_layers(net: Prepared, unit: UnitPlan, values: Tensor) -> Tensor:
    """The unit's layers, one after the other: (N, C, H, W) -> (N, maps, h, w)."""
    graph = net.dense.graph
    values = graph.nodes[unit.index].layer(values, unit.stride, unit.dilation)
    if unit.pool != (1, 1):
        values = graph.nodes[unit.index + 1].layer(values, unit.pool_stride, unit.pool_dilation)
    return values


def run_fused(net: Prepared, number: int, values: Tensor, order: Order) -> float | None:
    """Seconds of the unit's kernel; None where there is none, or it does not run here."""
    if order.device.type != "cuda":
        return None
    lying = values.permute(0, 2, 3, 1).contiguous()
    try:
        triton = TritonChain(net.dense.graph, net.dense.layout)
        return timed(lambda: triton.run_unit(number, lying), order.device, rounds=order.rounds)
    except Exception as error:  # A compiler, a header, memory: each says it in its own way.
        print(f"unit {number}: {reason_of(error)}", file=sys.stderr)
        return None
