"""Compiling the native kernel: for the processor of this machine, or for a kind of processor that a wheel is built for.

This file needs the standard library alone: the wheel's build hook loads it where nothing else is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
SOURCES = tuple(sorted(path.name for path in _FOLDER.iterdir() if path.suffix in {".cpp", ".hpp"}))
_FLAGS = ("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread")
#: A prebuilt kernel brings its C++ runtime along: the host's may be older than the compiler that built it.
_PREBUILT_FLAGS = ("-static-libstdc++", "-static-libgcc")
#: Where a wheel has its prebuilt kernels.
PREBUILT = _FOLDER / "prebuilt"
COMPILE_SECONDS = 300.0


@dataclass(frozen=True)
class Target:
    """A kind of processor that kernels are built for."""

    name: str
    #: As `platform.machine()` says it.
    machine: str
    flags: tuple[str, ...]
    #: What a processor must have to run it, in the words of /proc/cpuinfo.
    features: frozenset[str] = frozenset()


_V3 = frozenset("avx avx2 bmi1 bmi2 f16c fma abm movbe".split())
_V4 = _V3 | frozenset("avx512f avx512bw avx512cd avx512dq avx512vl".split())
_MATRIX = ("-mavx512bf16", "-mamx-tile", "-mamx-bf16")
#: Best first.
TARGETS = (
    Target("x86-64-v4-amx", "x86_64", ("-march=x86-64-v4", *_MATRIX), _V4 | {"avx512_bf16", "amx_tile", "amx_bf16"}),
    Target("x86-64-v4", "x86_64", ("-march=x86-64-v4",), _V4),
    Target("x86-64-v3", "x86_64", ("-march=x86-64-v3",), _V3),
    Target("aarch64", "aarch64", ("-march=armv8-a",)),
)
#: Whatever the compiler finds on this machine, which may be no other's. The order of instructions is the usual one:
#: GCC's own for AMD's Zen 2 to 4 loads pixels anew for each multiplication, a third slower (docs/performance.md).
NATIVE = Target("native", platform.machine(), ("-march=native", "-mtune=generic"))


def targets_of(machine: str) -> list[Target]:
    """The targets for machines of that architecture, best first."""
    return [target for target in TARGETS if target.machine == machine]


def find_compiler() -> str | None:
    """The C++ compiler: CXX, or g++, or clang++."""
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


def compile_kernel(compiler: str, target: Target, path: Path, *, is_shipped: bool = False) -> None:
    """Compile the kernel for `target` into the library `path`, whole or not at all.

    Parameters
    ----------
    compiler : str
        A program that understands GCC's options.
    target : Target
    path : Path
        Its folder is created. Two processes may compile the same path at once.
    is_shipped : bool
        For other machines too: the library depends on nothing but the C library.

    Raises
    ------
    OSError
        The compiler cannot be started, or the library cannot be written.
    subprocess.SubprocessError
        The compiler fails; its messages are in `stderr`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = (*_FLAGS, *target.flags, *(_PREBUILT_FLAGS if is_shipped else ()))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / "dense.so"
        command = [compiler, *flags, "-o", str(built), str(_FOLDER / "stream.cpp")]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)  # noqa: S603
        os.replace(built, path)


def fingerprint(target: Target) -> str:
    """Changes with the source, the flags and the processor's features: a native build fits one kind of processor."""
    digest = hashlib.sha256(" ".join((*_FLAGS, *target.flags)).encode())
    for name in SOURCES:
        digest.update((_FOLDER / name).read_bytes())
    if target is NATIVE:
        digest.update(" ".join(sorted(processor_features())).encode())
    return digest.hexdigest()[:16]


def processor_features() -> frozenset[str]:
    """What the processor and the system offer, in the words of /proc/cpuinfo; nothing where that is not there."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    listed = next((line for line in lines if line.startswith(("flags", "Features"))), ":")
    return frozenset(listed.split(":", 1)[1].split())
