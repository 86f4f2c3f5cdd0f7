"""Running the native kernel on tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from scanner.dense.native.chain import Chain, Window, choose_rows, pack_chain
from scanner.dense.native.library import NativeUnavailableError, load_kernel
from scanner.dense.native.packing import Rows, Shape
from scanner.dense.network.graph import Graph, Layout
from scanner.dense.network.layers import Convolution
from scanner.errors import SettingsError


class Image(ctypes.Structure):
    """An image by its strides, as in stream.cpp."""

    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("channel_pitch", ctypes.c_int64),
        ("row_pitch", ctypes.c_int64),
        ("column_pitch", ctypes.c_int64),
        ("table", ctypes.c_void_p),
    )


#: Wider images are scored in strips of about so many columns: rows that are longer do not stay in the cache.
STRIP_COLUMNS = 2048

#: The kernel's answers that make a Shape.
_SHAPE = ("planar_block", "interleaved_lanes", "interleaved_blocks")


class NativeChain:
    """A graph made ready for the native kernel; `rows` are chosen by estimate if left out.

    Raises
    ------
    NativeUnavailableError
        There is no kernel on this machine, or the graph is no chain that it can run.
    """

    def __init__(self, graph: Graph, layout: Layout, rows: Rows | None = None) -> None:
        self.library = load_kernel().library
        shape = Shape(*(int(getattr(self.library, f"mitoscan_{name}")()) for name in _SHAPE))
        #: Of the images that it takes: what the graph's weights are.
        self.dtype = next(
            (node.layer.weight.dtype for node in graph.nodes if isinstance(node.layer, Convolution)), None
        )
        chosen, reason = self._choose_rows(graph, layout, shape)
        #: How its rows lie in memory, and why.
        self.rows, self.reason = (chosen, reason) if rows is None else (rows, f"{rows} rows, as asked for")
        chain = pack_chain(graph, layout, rows=self.rows, shape=shape)
        if chain is None:
            raise NativeUnavailableError("the network is no chain of convolutions and max-poolings")
        self.chain: Chain = chain
        self.made_from = graph, layout, self.rows

    def __reduce__(self) -> tuple[type[NativeChain], tuple[Graph, Layout, Rows]]:
        """Copies pack their own weights: addresses cannot travel."""
        return NativeChain, self.made_from

    def _choose_rows(self, graph: Graph, layout: Layout, shape: Shape) -> tuple[Rows, str]:
        if self.dtype is torch.bfloat16:
            if not self.library.mitoscan_has_matrix():
                raise NativeUnavailableError("bfloat16 needs a processor with a matrix unit (Intel AMX), under Linux")
            return Rows.MATRIX, f"{Rows.MATRIX} rows: bfloat16, on the processor's matrix unit"
        return choose_rows(graph, layout, shape)

    def takes(self, images: Tensor) -> bool:
        """True for what the kernel can work on: images of its own type on the CPU, without gradients."""
        wants_gradient = images.requires_grad and torch.is_grad_enabled()
        return images.device.type == "cpu" and images.dtype is self.dtype and not wants_gradient

    def __call__(self, images: Tensor, table: Tensor | None = None) -> Tensor:
        """(N, C, H, W) of `dtype` on the CPU -> (N, classes, h, w) in float32, as sums are either way.

        With a table (C, 256) of `dtype`, images are bytes, and their values are looked up in it.
        """
        if images.shape[1] != self.chain.units[0].channels:
            wanted = self.chain.units[0].channels
            raise SettingsError(f"images have {images.shape[1]} channels, the network wants {wanted}")
        height, width = self._output_size(images.shape[2], images.shape[3])
        out = torch.empty((images.shape[0], self.chain.classes, height, width))
        for image, scores in zip(images, out, strict=True):
            for first, last, left, right in self._strips(width):
                part = scores if last - first == width else scores.new_empty((len(scores), height, last - first))
                self._run(image[:, :, left:right], part, table)
                if part is not scores:
                    scores[:, :, first:last] = part
        return out

    def _run(self, image: Tensor, scores: Tensor, table: Tensor | None) -> None:
        """Score one image (C, H, W) into `scores` (classes, h, w)."""
        _, *size = image.shape
        described = Image(image.data_ptr(), *size, *image.stride(), None if table is None else table.data_ptr())
        units = self.chain.units
        failed = self.library.mitoscan_run(
            units,
            len(units),
            list(Rows).index(self.rows),
            ctypes.byref(described),
            ctypes.c_void_p(scores.data_ptr()),
            torch.get_num_threads(),
        )
        if failed:
            raise MemoryError(f"the native dense net needs more memory for an image of {size[0]} x {size[1]} pixels")

    def _strips(self, width: int) -> Iterator[tuple[int, int, int, int]]:
        """Columns of the scores, first to last, and those of the image that they are made of, left to right."""
        stride, reach = 1, 1  # image columns between two scores, and under one
        for unit in reversed(self.chain.units):
            for window in (unit.pool_columns, unit.columns):
                reach = (reach - 1) * window.stride + (window.kernel - 1) * window.dilation + 1
                stride *= window.stride
        count = max(1, round(width * stride / STRIP_COLUMNS))
        edges = [width * part // count for part in range(count + 1)]
        for first, last in pairwise(edges):
            yield first, last, first * stride, (last - 1) * stride + reach

    def _output_size(self, height: int, width: int) -> tuple[int, int]:
        for unit in self.chain.units:
            for rows, cols in ((unit.rows, unit.columns), (unit.pool_rows, unit.pool_columns)):
                height, width = _outputs(rows, height), _outputs(cols, width)
        return height, width


def _outputs(window: Window, inputs: int) -> int:
    kernel, dilation, stride = int(window.kernel), int(window.dilation), int(window.stride)
    return (inputs - (kernel - 1) * dilation - 1) // stride + 1
