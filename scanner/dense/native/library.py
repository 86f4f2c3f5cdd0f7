"""Which native kernel this machine runs: one compiled for it and kept in the user's cache, or a prebuilt one."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scanner.dense.native.build import (
    NATIVE,
    PREBUILT,
    TARGETS,
    Target,
    compile_kernel,
    find_compiler,
    fingerprint,
    processor_features,
    targets_of,
)

#: 0: no native kernel. The name of a target: the kernel for that kind of processor. A folder: compiled libraries are
#: kept there.
SWITCH = "MITOSCAN_NATIVE"


class NativeUnavailableError(Exception):
    """There is no native kernel here; the message says why."""


class Origin(StrEnum):
    """Where a kernel comes from."""

    COMPILED = "compiled"  # on this machine, by its own compiler
    PREBUILT = "prebuilt"  # shipped with the package


@dataclass(frozen=True)
class Kernel:
    """A native kernel that was loaded."""

    library: ctypes.CDLL
    origin: Origin
    #: The kind of processor that it was built for.
    target: Target
    #: Why it is not one compiled for this very processor; empty if it is.
    reason: str = ""

    @property
    def has_matrix(self) -> bool:
        """True if it multiplies bfloat16 on the processor's matrix unit."""
        return bool(self.library.mitoscan_has_matrix())

    def __str__(self) -> str:
        """For people: origin and target first."""
        name = "for this processor" if self.target is NATIVE else f"for {self.target.name}"
        return f"{self.origin} {name}" + (f" ({self.reason})" if self.reason else "")


def load_kernel() -> Kernel:
    """The native kernel of this machine.

    A kernel compiled for this very processor is the first choice; where there is no compiler, or it fails, the best
    prebuilt one that the processor can run.

    Raises
    ------
    NativeUnavailableError
        Neither can be had, or the switch is off.
    """
    found = _kernel_or_reason(os.environ.get(SWITCH, ""))
    if isinstance(found, str):
        raise NativeUnavailableError(found)
    return found


def runnable_targets() -> list[Target]:
    """The targets that this processor can run, best first."""
    features = processor_features()
    return [target for target in targets_of(platform.machine()) if target.features <= features]


@functools.cache
def _kernel_or_reason(switch: str) -> Kernel | str:
    """The kernel, or why there is none: a failure is not tried again in this process."""
    if switch == "0":
        return f"switched off by {SWITCH}=0"
    named = {target.name: target for target in TARGETS}.get(switch)
    if named is not None:
        return _kernel_of(named)
    kernel = _compiled(NATIVE, _cache_folder(switch))
    if not isinstance(kernel, str):
        return kernel
    found = next((found for target in runnable_targets() if (found := _prebuilt(target, reason=kernel))), None)
    return found or f"{kernel}, and no prebuilt kernel is shipped for this processor ({platform.machine()})"


def _kernel_of(target: Target) -> Kernel | str:
    """The kernel for a target that was asked for by name: prebuilt, or else compiled for it."""
    if target not in runnable_targets():
        return f"{SWITCH}={target.name}: this processor cannot run it"
    reason = f"chosen by {SWITCH}"
    return _prebuilt(target, reason=reason) or _compiled(target, _cache_folder(""), reason=reason)


def _prebuilt(target: Target, *, reason: str) -> Kernel | None:
    path = PREBUILT / f"{target.name}.so"
    try:
        return Kernel(ctypes.CDLL(str(path)), Origin.PREBUILT, target, reason) if path.exists() else None
    except OSError:  # Of another C library, say: the next one may do.
        return None


def _compiled(target: Target, cache: Path, *, reason: str = "") -> Kernel | str:
    """The kernel from the cache, where it is compiled if it is not there; or why that cannot be."""
    try:
        path = cache / f"dense-{fingerprint(target)}.so"
        if not path.exists():
            compiler = find_compiler()
            if compiler is None:
                return "no C++ compiler (g++ or clang++) is installed"
            compile_kernel(compiler, target, path)
        return Kernel(ctypes.CDLL(str(path)), Origin.COMPILED, target, reason)
    except (OSError, subprocess.SubprocessError) as error:
        lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
        return f"the C++ compiler failed: {lines[0] if lines else error}"


def user_cache() -> Path:
    """The user's folder for what this software has measured or compiled; a GPU host may have no platformdirs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mitoscan"


def _cache_folder(switch: str) -> Path:
    return user_cache() if switch in {"", "1"} else Path(switch)
