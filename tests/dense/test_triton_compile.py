"""The Triton kernels compile for real cards, as a scan would launch them: no card is needed for that.

Triton turns a kernel into the code of a card on any machine that has its compiler. What the interpreter cannot tell is
told here: types, shapes that tensor cores take, registers and shared memory.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.columns.dannet import DNN2, DanNet
from models.columns.validnet import ValidNet, ValidNetConfig
from scanner.dense import densify
from scanner.dense.gpu.triton_chain import TritonChain
from tests.conftest import ROOT

if importlib.util.find_spec("triton") is None:
    pytest.skip("the triton package is not installed", allow_module_level=True)

#: Bytes of shared memory that a program may have: on an A100, and on an H100 or H200.
SHARED = {80: 163 << 10, 90: 227 << 10}
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int32: "i32"}


@dataclass
class Launch:
    """What a kernel was called with."""

    name: str
    arguments: tuple[Any, ...]
    constants: dict[str, Any]


class Recorder:
    """Takes a kernel's place."""

    def __init__(self, name: str, launches: list[Launch]) -> None:
        self.name, self.launches = name, launches

    def __getitem__(self, _grid: tuple[int, ...]) -> Any:
        return lambda *arguments, **constants: self.launches.append(Launch(self.name, arguments, constants))


def launches_of(net: nn.Module, patch_size: int, stride: int, dtype: torch.dtype) -> list[Launch]:
    """Every launch of a tile."""
    from scanner.dense.gpu import triton_kernels

    dense = densify(net, patch_size, stride)
    chain = TritonChain(dense.graph, dense.layout)
    dense.to(dtype)
    launches: list[Launch] = []
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        for name in ("pooled_convolution", "classifying_head"):
            patch.setattr(triton_kernels, name, Recorder(name, launches))
        chain(torch.zeros(1, 3, patch_size + 63, patch_size + 63, dtype=dtype))
    return launches


def compile_for(kernel: Any, launch: Launch, capability: int) -> Any:
    """The kernel as Triton would compile it at that launch."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    options = {key: launch.constants.pop(key) for key in ("num_warps", "num_stages")}
    signature, divisible = {}, {}
    for place, (name, value) in enumerate(zip(kernel.arg_names, launch.arguments, strict=False)):
        signature[name] = f"*{NAMES[value.dtype]}" if isinstance(value, Tensor) else "i32"
        if isinstance(value, Tensor) or value % 16 == 0:
            divisible[place,] = [["tt.divisibility", 16]]
    signature |= dict.fromkeys(launch.constants, "constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs=launch.constants, attrs=divisible)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


NETWORKS = {"DNN2": (lambda: DanNet(DNN2), 101), "ValidNet": (lambda: ValidNet(ValidNetConfig()), 86)}


def compile_all(network: str, stride: int, dtype: torch.dtype, capability: int) -> None:
    """Compile what a tile would launch; for a process of its own, where Triton is not told to interpret."""
    from scanner.dense.gpu import triton_kernels

    make, patch_size = NETWORKS[network]
    kernels = {name: getattr(triton_kernels, name) for name in ("pooled_convolution", "classifying_head")}
    launches = launches_of(make().eval(), patch_size, stride, dtype)
    assert {launch.name for launch in launches} == set(kernels)
    maxima = False
    for launch in launches:
        compiled = compile_for(kernels[launch.name], launch, capability)
        assert compiled.metadata.shared <= SHARED[capability], compiled.metadata.shared
        assert compiled.asm["cubin"]
        # A maximum is NaN if a side is: the interpreter makes no difference, but a card does.
        assert "max.f32" not in compiled.asm["ptx"]
        maxima |= "max.NaN.f32" in compiled.asm["ptx"]
        # Tensor cores multiply, but for float32 in full.
        assert "mma" in compiled.asm["ptx"] or dtype is torch.float32
    assert maxima


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "stride", "dtype", "capability"),
    [("DNN2", 1, torch.bfloat16, 90), ("DNN2", 4, torch.float32, 80), ("ValidNet", 8, torch.bfloat16, 90)],
)
def test_kernels_compile_for_cards(network: str, stride: int, dtype: torch.dtype, capability: int) -> None:
    script = (
        "import torch; from tests.dense.test_triton_compile import compile_all; "
        f"compile_all({network!r}, {stride}, {dtype}, {capability})"
    )
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
