"""What a machine has is asked, not tried; and what it has not is refused with a reason, naming what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from scanner.dense.capabilities import Capabilities, Gpu, KernelReport, capabilities, offers_of, require_precision
from scanner.errors import UnavailableError
from scanner.settings import PRECISIONS

CPU, CARD = torch.device("cpu"), torch.device("cuda")
COMPILED = KernelReport(is_there=True, has_matrix=False, reason="compiled")
NO_KERNEL = KernelReport(is_there=False, has_matrix=False, reason="no C++ compiler")
AVX2 = Capabilities("x86_64", "EPYC 7002", "avx2", False, False, False, "/usr/bin/g++", COMPILED, ())
ZEN4 = replace(AVX2, vector_unit="avx512", has_avx512_bf16=True, has_bfloat16_convolutions=True)
AMX = replace(ZEN4, has_amx=True, kernel=replace(COMPILED, has_matrix=True))
H200 = Gpu("cuda:0", "H200", 141 << 30, (9, 0), has_tf32=True, has_bfloat16=True)
V100 = Gpu("cuda:0", "V100", 32 << 30, (7, 0), has_tf32=False, has_bfloat16=False)


def forms(machine: Capabilities, precision: str, device: torch.device = CPU) -> tuple[str, ...]:
    return offers_of(device, machine)[precision].forms


def test_a_machine_is_asked_once() -> None:
    assert capabilities() is capabilities()


def test_every_precision_of_a_scan_has_an_answer_on_every_device() -> None:
    machine = replace(AVX2, gpus=(V100,))
    for device in (CPU, CARD, torch.device("mps")):
        offers = offers_of(device, machine)
        assert set(offers) == set(PRECISIONS)
        assert offers["float32"].forms
        assert all(offer.forms or offer.reason for offer in offers.values())


@pytest.mark.parametrize(
    ("machine", "found"),
    [
        (AVX2, ()),
        (ZEN4, ("torch",)),
        (AMX, ("native", "torch")),
        (replace(AMX, kernel=NO_KERNEL), ("torch",)),
        # Told by ONEDNN_MAX_CPU_ISA to be an AVX2 host: its matrix unit alone runs no network that is no chain.
        (replace(AMX, has_bfloat16_convolutions=False), ()),
    ],
)
def test_bfloat16_on_a_processor_is_what_torch_and_the_kernel_have(
    machine: Capabilities, found: tuple[str, ...]
) -> None:
    assert forms(machine, "bfloat16") == found
    assert forms(machine, "tf32") == ()


def test_float32_is_on_every_processor_natively_where_there_is_a_kernel() -> None:
    assert forms(AVX2, "float32") == ("native", "torch")
    offer = offers_of(CPU, replace(AVX2, kernel=NO_KERNEL))["float32"]
    assert (offer.forms, offer.reason) == (("torch",), "no C++ compiler")


def test_a_gpu_has_what_its_hardware_computes() -> None:
    assert {name for name in ("tf32", "bfloat16") if forms(replace(AVX2, gpus=(H200,)), name, CARD)} == {
        "tf32",
        "bfloat16",
    }
    old = offers_of(CARD, replace(AVX2, gpus=(V100,)))
    assert (old["tf32"].forms, old["bfloat16"].forms) == ((), ())
    assert "V100 has no bfloat16 in hardware (compute capability 7.0)" in old["bfloat16"].reason


def test_training_takes_bfloat16_only_where_it_is_fast_and_torch_takes_it() -> None:
    assert [machine.has_fast_bfloat16(CPU) for machine in (AVX2, ZEN4, AMX)] == [False, True, True]
    assert not replace(AMX, has_bfloat16_convolutions=False).has_fast_bfloat16(CPU)
    assert [replace(AVX2, gpus=(gpu,)).has_fast_bfloat16(CARD) for gpu in (V100, H200)] == [False, True]


def test_what_there_is_not_is_refused_naming_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: AVX2)
    require_precision("float32", CPU)
    with pytest.raises(UnavailableError, match=r"^precision = 'bfloat16' .* on cpu: .*avx2.; it has float32$"):
        require_precision("bfloat16", CPU)
    monkeypatch.setattr("scanner.dense.capabilities.capabilities", lambda: ZEN4)
    require_precision("bfloat16", CPU)
    with pytest.raises(UnavailableError, match=r"'tf32' .* it has float32, bfloat16$"):
        require_precision("tf32", CPU)


#: Prints whether the machine says that it has bfloat16, whether oneDNN then runs in it, and what torch's vectors are;
#: a layer of the dense net runs either way.
_TRY = """
import torch
from scanner.dense.capabilities import capabilities
from scanner.dense.network.layers import Convolution, Step
layer = Convolution(torch.ones(2, 1, 2, 2), None, activation="relu").to(torch.bfloat16)
image = torch.ones(1, 1, 4, 4, dtype=torch.bfloat16)
with torch.inference_mode():
    assert (layer(image, Step(1, 1), Step(1, 1)) == 4).all()
try:
    torch.ops.mkldnn._convolution_pointwise(image, layer.weight, None, [0, 0], [1, 1], [1, 1], 1, "relu", [], "")
    runs = True
except RuntimeError:
    runs = False
print(capabilities().has_bfloat16_convolutions, runs, capabilities().vector_unit)
"""


@pytest.mark.parametrize("bounded", [False, True])
def test_the_answer_is_what_torch_does_also_as_an_avx2_host(bounded: bool) -> None:
    settings = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    environment = os.environ | (settings if bounded else {}) | {"MITOSCAN_NATIVE": "0"}
    done = subprocess.run([sys.executable, "-c", _TRY], env=environment, capture_output=True, text=True, check=True)
    says, runs, vector_unit = done.stdout.split()
    assert says == runs
    if bounded and capabilities().architecture == "x86_64":
        assert (says, vector_unit) == ("False", "avx2")
