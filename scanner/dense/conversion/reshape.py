"""What moves values without computing: flattening, crops, strided slices, negative padding."""

from __future__ import annotations

from scanner.dense.network.layers import IDENTITY, Pick, Pointwise
from scanner.dense.network.plan import Window
from scanner.dense.network.trace import Call, Traced, Tracer
from scanner.errors import InexactLayerError


def convert_flatten(call: Call, tracer: Tracer) -> Traced:
    """(N, C, h, w) -> (N, C * h * w): nothing happens until a linear layer follows."""
    source = call.source
    if len(call.value.shape) != 2 or call.value.shape[0] != source.shape[0]:
        raise InexactLayerError(
            call.name, f"reshaping a patch to {tuple(call.value.shape)} moves values between positions"
        )
    if len(source.shape) == 4 and tracer.extent(source.index) != (1, 1):
        index = len(tracer.nodes)
        tracer.flattened[index] = (source.shape[1], *tracer.extent(source.index))
    return Traced(Pointwise(lambda x: x, label=IDENTITY))


def convert_slice(call: Call, tracer: Tracer) -> Traced:
    """x[:, channels, rows, cols]: a crop, perhaps strided, perhaps of channels."""
    source, index = call.source, call.args[1]
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = index[:at] + (slice(None),) * (len(source.shape) - len(index) + 1) + index[at + 1 :]
    if (
        not all(isinstance(part, slice) for part in index)
        or index[0] != slice(None)
        or source.index in tracer.flattened
    ):
        raise InexactLayerError(call.name, f"indexing by {index} is not a crop")
    index += (slice(None),) * (len(source.shape) - len(index))
    if len(source.shape) == 2:
        return Traced(Pointwise(lambda x: x[:, index[1]]))
    if index[1] != slice(None):
        if index[2:] != (slice(None), slice(None)):
            raise InexactLayerError(call.name, "cut channels and rows or columns one after the other")
        return Traced(Pointwise(lambda x: x[:, index[1]]))
    rows, cols = (part.indices(size) for part, size in zip(index[2:], source.shape[2:], strict=True))
    return Traced(Pick(), (Window(1, rows[2]), Window(1, cols[2])), (rows[0], cols[0]))


def convert_pad(call: Call, tracer: Tracer) -> Traced:
    """F.pad: only a negative padding, which is a crop, is exact."""
    amounts = tuple(call.kwargs.get("pad", call.args[1] if len(call.args) > 1 else ()))
    if any(amount > 0 for amount in amounts) or len(amounts) > 4:
        raise InexactLayerError(call.name, f"padding {amounts} puts invented pixels inside the patch")
    tracer.need_spatial(call)
    left, _, top, _ = (*amounts, 0, 0, 0, 0)[:4]
    return Traced(Pick(), (Window(), Window()), (-top, -left))
