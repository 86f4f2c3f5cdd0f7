"""The Triton kernels compile for real cards, as a scan would launch them: no card is needed for that.

Triton turns a kernel into the code of a card on any machine that has its compiler. What the interpreter cannot tell is
told here: types, shapes that tensor cores take, registers and shared memory.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.dannet import DNN2, DanNet
from models.validnet import ValidNet, ValidNetConfig
from scanner.dense import densify
from scanner.dense.triton_chain import TritonChain

if importlib.util.find_spec("triton") is None:
    pytest.skip("the triton package is not installed", allow_module_level=True)

#: Bytes of shared memory that a program may have: on an A100, and on an H100 or H200.
SHARED = {80: 163 << 10, 90: 227 << 10}
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.int32: "i32"}


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


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    """The kernels, not interpreted: other tests may have imported them otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        found = importlib.util.find_spec("scanner.dense.triton_kernels")
        assert found is not None
        spec = importlib.util.spec_from_file_location("compiled_kernels", found.origin)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def launches_of(net: nn.Module, patch_size: int, stride: int, dtype: torch.dtype) -> list[Launch]:
    """Every launch of a tile."""
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():
            patch.setenv("TRITON_INTERPRET", "1")  # As the tests of the interpreter, whichever come first.
        from scanner.dense import triton_kernels

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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "patch_size", "stride", "dtype", "capability"),
    [
        (DanNet(DNN2), 101, 1, torch.bfloat16, 90),
        (DanNet(DNN2), 101, 4, torch.float32, 80),
        (ValidNet(ValidNetConfig()), 86, 8, torch.float16, 90),
    ],
    ids=["DNN2, bfloat16, H100", "DNN2, float32, A100", "ValidNet, float16, H100"],
)
def test_kernels_compile_for_cards(
    kernels: ModuleType, net: nn.Module, patch_size: int, stride: int, dtype: torch.dtype, capability: int
) -> None:
    launches = launches_of(net.eval(), patch_size, stride, dtype)
    assert {launch.name for launch in launches} == {"pooled_convolution", "classifying_head"}
    for launch in launches:
        compiled = compile_for(getattr(kernels, launch.name), launch, capability)
        assert compiled.metadata.shared <= SHARED[capability]
        assert compiled.asm["cubin"]
        if dtype is not torch.float32:
            assert "mma" in compiled.asm["ptx"]  # Tensor cores multiply.
