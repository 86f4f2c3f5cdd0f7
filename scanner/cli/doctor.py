"""What this machine offers to a scan, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from models import list_models, load_model
from scanner.dense.capabilities import Capabilities, Gpu, KernelReport, Offer, capabilities, offers_of

#: The uncompressed map of a large slide at stride 4.
ENOUGH_DISK_BYTES = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    detail: str
    is_fine: bool = True


def examine() -> list[Finding]:
    """Look at everything a scan needs; what raises becomes a problem with its reason."""
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("python", lambda: [Finding("python", platform.python_version())]),
        ("torch", _torch),
        ("machine", lambda: describe_machine(capabilities())),
        ("readers", _readers),
        ("models", _models),
        ("disk", _disk),
    ]
    return [finding for name, check in checks for finding in _checked(name, check)]


def as_table(findings: Sequence[Finding]) -> list[str]:
    """A line for each finding, details below each other."""
    width = max(len(finding.name) for finding in findings)
    return [f"{'ok     ' if one.is_fine else 'PROBLEM'} {one.name:>{width}}: {one.detail}" for one in findings]


def describe_machine(machine: Capabilities) -> list[Finding]:
    """What the machine has to compute with, and the precisions that each device scans in."""
    units = {"AVX512_BF16": machine.has_avx512_bf16, "AMX": machine.has_amx}
    has = ", ".join(name if is_there else f"no {name}" for name, is_there in units.items())
    findings = [
        Finding("processor", f"{machine.processor}, {machine.architecture}, {os.cpu_count()} processors"),
        Finding("vectors", f"{machine.vector_unit}, as torch uses them; {has}"),
        Finding("compiler", machine.compiler or "none (g++ or clang++)"),
        # Everything works without it, more slowly: reported, but not a problem.
        Finding("kernel", _describe_kernel(machine.kernel)),
    ]
    findings += [_describe_gpu(gpu) for gpu in machine.gpus] or [Finding("device", "cpu; no GPU that torch can use")]
    for name in ("cpu", *(gpu.device for gpu in machine.gpus)):
        offers = offers_of(torch.device(name), machine)
        findings += [Finding(f"{name}, {precision}", _describe_offer(offer)) for precision, offer in offers.items()]
    return findings


def _describe_kernel(kernel: KernelReport) -> str:
    if kernel.is_there:
        return f"{kernel.reason}{', bfloat16 on its matrix unit' if kernel.has_matrix else ''}"
    return f"none; dense nets run in plain torch, about half as fast: {kernel.reason}"


def _describe_gpu(gpu: Gpu) -> Finding:
    major, minor = gpu.compute_capability
    return Finding(
        "device", f"{gpu.device}, {gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB, compute capability {major}.{minor}"
    )


def _describe_offer(offer: Offer) -> str:
    if not offer.forms:
        return f"no: {offer.reason}"
    return " and ".join(offer.forms) + (f"; not native: {offer.reason}" if offer.reason else "")


def _checked(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except Exception as error:
        return [Finding(name, f"{type(error).__name__}: {error}", is_fine=False)]


def _torch() -> list[Finding]:
    return [Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} processors")]


def _readers() -> list[Finding]:
    found, missing = [], []
    for package in ("tifffile", "imagecodecs", "openslide-python", "openslide-bin"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return [Finding("readers", f"missing: {', '.join(missing)}", is_fine=False)]
    return [Finding("readers", ", ".join(found))]


def _models() -> list[Finding]:
    names = [load_model(card.name).card.name for card in list_models()]
    return [Finding("models", ", ".join(names) or "none shipped", is_fine=bool(names))]


def _disk() -> list[Finding]:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    return [Finding("disk", f"{free / 2**30:.1f} GiB free in {folder}", is_fine=free >= ENOUGH_DISK_BYTES)]
