"""densify: a patch classifier -> a network that scores every patch of an image at once, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from torch import Tensor, nn

from models.committee import Committee
from models.pixel_tables import apply_table
from scanner.dense.columns import DenseColumns
from scanner.dense.conversion.check import check_conversion
from scanner.dense.conversion.convert import convert
from scanner.dense.conversion.dilation import run_dilated
from scanner.dense.conversion.fragments import run_fragments
from scanner.dense.conversion.fuse import fuse_graph
from scanner.dense.conversion.patchwise import count_positions
from scanner.dense.gpu.triton_chain import TritonChain, TritonUnavailableError
from scanner.dense.native import NativeChain, NativeUnavailableError
from scanner.dense.network.graph import Graph, Layout
from scanner.dense.network.heads import Heads
from scanner.dense.network.plan import PatchSize, shape_of_patch
from scanner.dense.network.probe import TRACING
from scanner.dense.network.trace import trace_classifier
from scanner.errors import SettingsError


class Form(StrEnum):
    """How the shared values lie in memory; the numbers are the same.

    Examples
    --------
    >>> from scanner.dense import Form
    >>> Form("dilation") is Form.DILATION
    True
    """

    AUTO = "auto"  # chosen by `choose_form`
    DILATION = "dilation"  # one map per layer, kernels spread
    FRAGMENTS = "fragments"  # offset copies per pooling, kernels as they are
    NATIVE = "native"  # the dilated form, compiled: chains on a CPU; elsewhere as DILATION
    TRITON = "triton"  # the dilated form in fused kernels: chains on a GPU; elsewhere as DILATION


#: The forms by which the native one runs, where there is one.
_NATIVE = (Form.AUTO, Form.NATIVE)


class DenseNet(nn.Module):
    """Scores every `stride`-th patch of an image: (N, C, H, W) -> (N, classes, rows, cols).

    Output row r, column c is the patch whose top left is (r * stride, c * stride); the patch's centre lies
    `patch_size // 2` further along both axes. rows = (H - patch_size) // stride + 1.

    Examples
    --------
    >>> import torch
    >>> from scanner.dense import densify
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 33), torch.nn.Flatten()).eval()
    >>> dense = densify(net, patch_size=33, stride=4)
    >>> dense.stride, dense.patch_size
    (4, 33)
    >>> dense(torch.rand(1, 3, 100, 120)).shape  # (100 - 33) // 4 + 1 rows, (120 - 33) // 4 + 1 columns
    torch.Size([1, 2, 17, 22])
    """

    def __init__(
        self, graph: Graph, *, stride: int, form: Form, heads: Heads | None = None, columns: DenseColumns | None = None
    ) -> None:
        super().__init__()
        self.graph = graph
        self.heads = heads
        self.stride = stride
        self.patch_size = graph.patch_size
        self.layout = Layout.of(graph, stride)
        #: Of a committee on a CPU: its columns, each in the native form.
        self.columns = columns
        self.asked = form
        self.native = None if columns else _native_chain(graph, self.layout, form)
        self.triton = _triton_chain(graph, self.layout) if form is Form.TRITON else None
        self.layers = nn.ModuleList(node.layer for node in graph.nodes if node.layer is not None)

    @property
    def form(self) -> Form:
        """The form that was asked for, or the one that the rule takes."""
        is_on_cpu = next(self.parameters()).device.type == "cpu"
        return choose_form(is_native=self.is_native and is_on_cpu) if self.asked is Form.AUTO else self.asked

    def in_form(self, form: Form) -> DenseNet:
        """The same network, its layers shared, in another form; SettingsError if it has none of that name."""
        return DenseNet(self.graph, stride=self.stride, form=form, heads=self.heads).eval()

    @property
    def is_native(self) -> bool:
        """True if there is a native form of the network in its numbers."""
        return self.native is not None if self.columns is None else self.columns.is_native

    def runs_natively(self, images: Tensor) -> bool:
        """True if the native form can work on these images."""
        if self.columns is not None:
            return self.columns.runs_natively(images)
        return self.native is not None and self.native.takes(images)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DenseNet:
        """As any module; what is packed for the native form is packed anew where the numbers are others."""
        before = next(self.parameters()).dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.columns is None and next(self.parameters()).dtype is not before:
            # Nobody asked for a native form in these numbers: where there is none, torch computes.
            self.native = _native_chain(self.graph, self.layout, Form.AUTO) if self.asked in _NATIVE else None
        return self

    def forward(self, images: Tensor) -> Any:
        """Score `images`; raises SettingsError if they are smaller than one patch.

        A classifier with several heads gets them back as it returns them, in a tuple or dict of such tensors.
        """
        rows, cols = count_positions(images, self.patch_size, self.stride)
        if self.columns is not None and self.columns.runs_natively(images):
            return self.columns(images)[:, :, :rows, :cols]
        return self._at_stride(self._run(images), rows, cols)

    def score_bytes(self, pixels: Tensor, table: Tensor) -> Any:
        """The same for 8-bit pixels, (N, H, W, C), whose values are looked up in `table`, (C, 256), on the way.

        Wherever the native form runs, that saves writing the looked-up image down and reading it again.
        """
        native = self.native
        # A table of one channel is looked up by the luminance of colour, which the native form does not compute.
        if native is None or not native.takes(table) or pixels.device != table.device or pixels.shape[3] != len(table):
            return self(apply_table(pixels, table))
        images = pixels.permute(0, 3, 1, 2)
        rows, cols = count_positions(images, self.patch_size, self.stride)
        return self._at_stride(native(images, table.contiguous()), rows, cols)

    def _at_stride(self, out: Tensor, rows: int, cols: int) -> Any:
        """The scores that were asked for, of those on the layout's grid, by head."""
        step = self.layout.remainder
        out = out[:, :, : (rows - 1) * step.rows + 1 : step.rows, : (cols - 1) * step.cols + 1 : step.cols]
        return out if self.heads is None else self.heads.split(out)

    def _run(self, images: Tensor) -> Tensor:
        if self.native is not None and self.native.takes(images):
            return self.native(images)
        if self.triton is not None and TritonChain.takes(images):
            return self.triton(images)
        run = run_fragments if self.form is Form.FRAGMENTS else run_dilated
        return run(self.graph, self.layout, images)


def choose_form(*, is_native: bool) -> Form:
    """The fastest form on a CPU; on a GPU dilation, which needs nothing but cuDNN.

    Measured on CPUs with oneDNN (docs/performance.md): the native form is the fastest wherever it exists; in torch,
    dilated kernels run within a few per cent of dense ones, so that dilation, which never copies, wins over fragments
    at every stride for networks of 13 k to 170 k parameters.
    """
    return Form.NATIVE if is_native else Form.DILATION


def _native_chain(graph: Graph, layout: Layout, form: Form) -> NativeChain | None:
    """The native form if it is wanted and there is one; SettingsError if it alone is wanted and there is none."""
    if form not in _NATIVE:
        return None
    try:
        return NativeChain(graph, layout)
    except NativeUnavailableError as error:
        if form is Form.NATIVE:
            raise SettingsError(f"there is no native form: {error}") from error
        return None


def _native_columns(net: nn.Module, stride: int, form: Form) -> DenseColumns | None:
    """The columns of a committee as dense nets of their own, if all of them have a native form."""
    if form not in _NATIVE or not isinstance(net, Committee):
        return None
    columns = [densify(column, side, stride) for column, side in zip(net.columns, net.sizes, strict=True)]
    return DenseColumns(columns, net.crops) if all(column.form is Form.NATIVE for column in columns) else None


def _triton_chain(graph: Graph, layout: Layout) -> TritonChain:
    """The Triton form; SettingsError if there is none."""
    try:
        return TritonChain(graph, layout)
    except TritonUnavailableError as error:
        raise SettingsError(f"there is no Triton form: {error}") from error


def densify(
    net: nn.Module, patch_size: PatchSize, stride: int = 1, *, form: Form | str = Form.AUTO, trainable: bool = False
) -> DenseNet:
    """Turn a patch classifier into a dense net with the same weights.

    Parameters
    ----------
    net : nn.Module
        (N, C, P, P) -> (N, classes), in eval mode; or several heads, in a tuple, list or dict.
    patch_size : int, or (rows, cols)
        P, in pixels.
    stride : int
        Distance of two scored patches, in pixels.
    form : Form
        Layout of the computation; the result is the same.
    trainable : bool
        Share the classifier's parameters, unfused, so that gradients through the dense net reach them.

    Returns
    -------
    DenseNet
        Scores equal those of `net` on each patch: float64 within 1e-12, float32 within 1e-5 on trained nets.

    Raises
    ------
    InexactLayerError
        Names the first layer that cannot be made dense exactly, and the reason.
    SettingsError
        `patch_size` or `stride` is not positive, or `form` is unknown.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 4), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(8 * 15 * 15, 2)
    ... ).eval()
    >>> from scanner import densify
    >>> dense = densify(net, patch_size=33)
    >>> image = torch.rand(1, 3, 100, 120)
    >>> maps = dense(image)
    >>> maps.shape
    torch.Size([1, 2, 68, 88])
    >>> patch = image[:, :, 10:43, 20:53]  # Its top left is row 10, column 20.
    >>> torch.allclose(maps[:, :, 10, 20], net(patch), rtol=0, atol=1e-5)
    True
    """
    if min(shape_of_patch(patch_size)) < 1 or stride < 1:
        raise SettingsError(f"patch_size = {patch_size} and stride = {stride} must be positive")
    if form not in list(Form):
        raise SettingsError(f"form {form!r} is unknown; known: {', '.join(Form)}")
    with TRACING:  # The check runs the classifier: no other thread may be tracing one.
        graph, heads = trace_classifier(net, patch_size, convert, trainable=trainable)
        columns = None if trainable else _native_columns(net, stride, Form(form))
        graph = graph if trainable else fuse_graph(graph)
        dense = DenseNet(graph, stride=stride, form=Form(form), heads=heads, columns=columns)
        if not trainable:
            dense.eval()
            check_conversion(net, dense)
        return dense
