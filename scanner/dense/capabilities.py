"""What this machine has to compute with, asked once: before anything is tried on it, not by what torch then raises."""

from __future__ import annotations

import datetime
import functools
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scanner.dense.native import NativeUnavailableError, load_kernel
from scanner.dense.native.build import find_compiler
from scanner.dense.network.layers import has_bfloat16_convolutions
from scanner.errors import UnavailableError

#: The first GPUs of NVIDIA with a matrix unit for tf32 and bfloat16 (Ampere).
_AMPERE = 8


@dataclass(frozen=True)
class KernelReport:
    """The native kernel, or why there is none."""

    is_there: bool
    #: True if it computes bfloat16, on a matrix unit.
    has_matrix: bool
    #: How it was made, or why there is none.
    reason: str


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use."""

    #: As `--device` names it, "cuda:0".
    device: str
    name: str
    memory_bytes: int
    #: Major and minor.
    compute_capability: tuple[int, int]
    has_tf32: bool
    #: In hardware: torch computes it on any card, by way of float32.
    has_bfloat16: bool


@dataclass(frozen=True)
class Capabilities:
    """What this machine has."""

    #: "x86_64", "aarch64", ...
    architecture: str
    #: The processor's own name.
    processor: str
    #: The widest vectors that torch takes: "avx512", "avx2", "sve256", "neon" or "none".
    vector_unit: str
    #: Instructions of the processor for bfloat16, whether or not torch takes them.
    has_avx512_bf16: bool
    has_amx: bool
    #: oneDNN's convolutions in bfloat16, as it is told to run here: without them torch takes several times as long.
    has_bfloat16_convolutions: bool
    #: Of C++; None without one.
    compiler: str | None
    kernel: KernelReport
    gpus: tuple[Gpu, ...]

    def has_fast_bfloat16(self, device: torch.device) -> bool:
        """True if a device has instructions for bfloat16, and torch takes them."""
        if device.type == "cuda":
            return self.gpus[device.index or 0].has_bfloat16
        has_instructions = self.has_avx512_bf16 or self.has_amx
        return device.type == "cpu" and self.has_bfloat16_convolutions and has_instructions


@dataclass(frozen=True)
class Offer:
    """How a device scans in one precision."""

    #: "native", "torch"; none if it does not.
    forms: tuple[str, ...]
    #: Why not, or not in every form; empty if in every one.
    reason: str = ""


@functools.cache
def capabilities() -> Capabilities:
    """What this machine has: asked at the first call, and once per process."""
    return Capabilities(
        architecture=platform.machine(),
        processor=_processor(),
        vector_unit=_vector_unit(),
        has_avx512_bf16=torch.cpu._is_avx512_bf16_supported(),
        has_amx=torch.cpu._is_amx_tile_supported(),
        has_bfloat16_convolutions=has_bfloat16_convolutions(),
        compiler=find_compiler(),
        kernel=_kernel(),
        gpus=tuple(_gpu(index) for index in range(torch.cuda.device_count())),
    )


def describe_machine(*packages: str) -> str:
    """Processor, instruction set, threads, software with torch and `packages` (if installed), and date, in one line."""
    found = []
    for package in ("torch", *packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    processor, capability = capabilities().processor, torch.backends.cpu.get_cpu_capability()
    day = datetime.datetime.now(datetime.UTC).date()
    return f"{processor} ({capability}), {threads}, Python {platform.python_version()}, {', '.join(found)}, {day}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _vector_unit() -> str:
    """Torch's own answer, which ATEN_CPU_CAPABILITY bounds."""
    taken = torch.backends.cpu.get_cpu_capability().lower()
    if taken in {"default", "no avx"}:  # Every processor of 64 bits by ARM has NEON, which torch's default takes.
        return "neon" if platform.machine() in {"aarch64", "arm64"} else "none"
    return taken


def _kernel() -> KernelReport:
    try:
        kernel = load_kernel()
    except NativeUnavailableError as error:
        return KernelReport(is_there=False, has_matrix=False, reason=str(error))
    return KernelReport(is_there=True, has_matrix=kernel.has_matrix, reason=str(kernel))


def _gpu(index: int) -> Gpu:
    found = torch.cuda.get_device_properties(index)
    is_recent = found.major >= _AMPERE
    # Cards of AMD answer to the same calls; their numbers mean another thing.
    is_nvidia = torch.version.hip is None
    return Gpu(
        device=f"cuda:{index}",
        name=found.name,
        memory_bytes=found.total_memory,
        compute_capability=(found.major, found.minor),
        has_tf32=is_nvidia and is_recent,
        has_bfloat16=is_recent or not is_nvidia,
    )


def offers_of(device: torch.device, machine: Capabilities | None = None) -> dict[str, Offer]:
    """How a device of this machine scans, by the name of the precision.

    Parameters
    ----------
    device : torch.device
    machine : Capabilities, optional
        `capabilities()` if left out.

    Returns
    -------
    dict of str to Offer
        For each precision that a scan can be asked for.
    """
    machine = machine or capabilities()
    if device.type == "cpu":
        return {name: offer(machine) for name, offer in _ON_PROCESSOR.items()}
    if device.type == "cuda":
        gpu = machine.gpus[device.index or 0]
        return {name: offer(gpu) for name, offer in _ON_GPU.items()}
    unknown = f"it was never measured on {device.type!r}"
    return {name: Offer(("torch",) if name == "float32" else (), unknown) for name in _ON_GPU}


def _processor_float32(machine: Capabilities) -> Offer:
    if machine.kernel.is_there:
        return Offer(("native", "torch"))
    return Offer(("torch",), machine.kernel.reason)


def _processor_bfloat16(machine: Capabilities) -> Offer:
    if not machine.has_bfloat16_convolutions:
        unit = machine.vector_unit
        return Offer((), f"oneDNN has no bfloat16 convolutions for this processor, or is told to have none ({unit})")
    if machine.kernel.has_matrix:
        return Offer(("native", "torch"))
    why = "the kernel has no matrix unit (Intel AMX, under Linux)" if machine.kernel.is_there else machine.kernel.reason
    return Offer(("torch",), why)


def _on_gpu(gpu: Gpu, what: str, *, is_there: bool) -> Offer:
    if is_there:
        return Offer(("torch",))
    major, minor = gpu.compute_capability
    return Offer((), f"{gpu.name} has no {what} in hardware (compute capability {major}.{minor})")


_ON_PROCESSOR: dict[str, Callable[[Capabilities], Offer]] = {
    "float32": _processor_float32,
    "tf32": lambda _machine: Offer((), "it is arithmetic of NVIDIA's GPUs"),
    "bfloat16": _processor_bfloat16,
}
_ON_GPU: dict[str, Callable[[Gpu], Offer]] = {
    "float32": lambda _gpu: Offer(("torch",)),
    "tf32": lambda gpu: _on_gpu(gpu, "tf32", is_there=gpu.has_tf32),
    "bfloat16": lambda gpu: _on_gpu(gpu, "bfloat16", is_there=gpu.has_bfloat16),
}


def require_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that a device of this machine has not.

    Raises
    ------
    UnavailableError
        It says why, and what the device has.
    """
    if precision == "float32":  # Every machine has it, and is not asked.
        return
    offers = offers_of(device)
    if not offers[precision].forms:
        has = ", ".join(name for name, offer in offers.items() if offer.forms)
        raise UnavailableError(
            f"precision = {precision!r} is not available on {device}: {offers[precision].reason}; it has {has}"
        )
