"""Other engines on the same weights and the same graph: ONNX Runtime and OpenVINO, where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.dense.contestants import USUAL_BATCH, Contestant
from benchmarks.dense.loops import PatchLoop
from benchmarks.dense.subjects import Subject
from scanner.dense import densify
from scanner.dense.network.graph import Layout
from scanner.dense.network.layers import Step


def peers(
    subject: Subject, stride: int, shape: tuple[int, ...], *, batches: tuple[int, ...] = (USUAL_BATCH,)
) -> list[Contestant]:
    """Dense graph, and the patch loop in each batch size, in every installed engine; none without the onnx package."""
    if importlib.util.find_spec("onnx") is None:
        return []
    from benchmarks.dense.onnx_graph import dense_model, is_chain, patch_model

    graph = densify(subject.net, subject.patch_size).graph
    if not is_chain(graph):
        return []
    layout = Layout.of(graph, stride)
    found = []
    for name, (package, engine) in _ENGINES.items():
        if importlib.util.find_spec(package) is None:
            continue
        dense = dense_model(graph, layout, shape, pools_as_slices=engine is OpenVino)
        found.append(Contestant(f"dense graph: {name}", _EveryWanted(engine(dense), layout.remainder)))
        for batch in batches:
            patches = engine(patch_model(graph, (batch, 3, subject.patch_size, subject.patch_size)))
            loop = PatchLoop(_OfBatch(patches, batch), subject, stride, batch=batch)
            found.append(Contestant(f"loop: {name}, batch {batch}", loop, is_loop=True))
    return found


class OnnxRuntime(nn.Module):
    """A session with as many threads as torch has."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # A spinning thread pool would be counted as work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(self, image: Tensor) -> Tensor:
        """The model's only output."""
        return torch.from_numpy(self.session.run(None, {"image": image.numpy()})[0])


class OpenVino(nn.Module):
    """A compiled model in float32 with as many threads as torch has."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        import openvino as ov

        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        core = ov.Core()
        self.compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)

    def forward(self, image: Tensor) -> Tensor:
        """The model's only output."""
        return torch.from_numpy(self.compiled([image.numpy()])[0])


_ENGINES: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "ONNX Runtime": ("onnxruntime", OnnxRuntime),
    "OpenVINO": ("openvino", OpenVino),
}


class _EveryWanted(nn.Module):
    """A dense graph of which every so many outputs are wanted."""

    def __init__(self, engine: nn.Module, remainder: Step) -> None:
        super().__init__()
        self.engine = engine
        self.remainder = remainder

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.engine(image)
        return scores[:, :, :: self.remainder.rows, :: self.remainder.cols]


class _OfBatch(nn.Module):
    """An engine's model that takes whole batches only: the last one is filled up."""

    def __init__(self, engine: nn.Module, batch: int) -> None:
        super().__init__()
        self.engine = engine
        self.batch = batch

    def forward(self, patches: Tensor) -> Tensor:
        missing = self.batch - len(patches)
        whole = F.pad(patches, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else patches
        scores: Tensor = self.engine(whole.contiguous())
        return scores[: len(patches)]
