"""What this machine offers to a scan, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from models import list_models, load_model
from scanner.dense.native import NativeUnavailableError, load_library

#: A map of a large slide at stride 4, unpacked.
ENOUGH_DISK_BYTES = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    detail: str
    is_fine: bool = True


def examine() -> list[Finding]:
    """Look at everything a scan needs; what raises becomes a problem with its reason."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", lambda: Finding("python", platform.python_version())),
        ("torch", _torch),
        ("device", _device),
        ("dense net", _dense_form),
        ("readers", _readers),
        ("models", _models),
        ("disk", _disk),
    ]
    return [_checked(name, check) for name, check in checks]


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        return Finding(name, f"{type(error).__name__}: {error}", is_fine=False)


def _torch() -> Finding:
    return Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} processors")


def _device() -> Finding:
    if not torch.cuda.is_available():
        return Finding("device", f"cpu ({torch.backends.cpu.get_cpu_capability()}); no GPU that torch can use")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("device", f"cuda: {', '.join(names)}")


def _dense_form() -> Finding:
    """Without the compiled form everything works, more slowly: no problem, but worth knowing."""
    try:
        library = load_library()
    except NativeUnavailableError as error:
        return Finding("dense net", f"by torch alone, about half as fast as it could be on this CPU: {error}")
    fast = ", bfloat16 on its matrix unit" if library.mitoscan_has_matrix() else ""
    return Finding("dense net", f"compiled for this CPU{fast}")


def _readers() -> Finding:
    found, missing = [], []
    for package in ("tifffile", "imagecodecs", "openslide-python", "openslide-bin"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding("readers", f"missing: {', '.join(missing)}", is_fine=False)
    return Finding("readers", ", ".join(found))


def _models() -> Finding:
    names = [load_model(card.name).card.name for card in list_models()]
    return Finding("models", ", ".join(names) or "none shipped", is_fine=bool(names))


def _disk() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    return Finding("disk", f"{free / 2**30:.1f} GiB free in {folder}", is_fine=free >= ENOUGH_DISK_BYTES)
