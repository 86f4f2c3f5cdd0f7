"""The native kernel as a library: compiled once for this processor, kept in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = tuple(sorted(path.name for path in Path(__file__).parent.iterdir() if path.suffix in {".cpp", ".hpp"}))
FLAGS = ("-O3", "-march=native", "-std=c++20", "-shared", "-fPIC", "-pthread")
#: Set to 0 to do without the native kernel; set to a folder to keep the library there.
SWITCH = "MITOSCAN_NATIVE"
_COMPILE_SECONDS = 120.0


class NativeUnavailableError(Exception):
    """There is no native kernel here; the message says why."""


def load_library() -> ctypes.CDLL:
    """The compiled kernel.

    Raises
    ------
    NativeUnavailableError
        No compiler, or it fails, or the switch is off.
    """
    result = _load_or_reason()
    if isinstance(result, str):
        raise NativeUnavailableError(result)
    return result


@functools.cache
def _load_or_reason() -> ctypes.CDLL | str:
    """The library, or why there is none: a failure is not tried again in this process."""
    if os.environ.get(SWITCH) == "0":
        return f"switched off by {SWITCH}=0"
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    try:
        path = _cache_folder() / f"dense-{_fingerprint()}.so"
        if not path.exists():
            if compiler is None:
                return "no C++ compiler (g++ or clang++) is installed"
            _compile(compiler, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or error
        return f"the C++ compiler failed: {str(detail).strip().splitlines()[0] if str(detail).strip() else error}"


def _compile(compiler: str, path: Path) -> None:
    """Compile into a temporary name, then rename: two processes may start at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent / "stream.cpp"
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / "dense.so"
        command = [compiler, *FLAGS, "-o", str(built), str(source)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_COMPILE_SECONDS)  # noqa: S603
        os.replace(built, path)


def _fingerprint() -> str:
    """Changes with the source, the flags and the processor's abilities: -march=native fits one kind of processor."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    digest.update(next((line for line in lines if line.startswith("flags")), "").encode())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    chosen = os.environ.get(SWITCH)
    if chosen and chosen != "1":
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mitoscan"
