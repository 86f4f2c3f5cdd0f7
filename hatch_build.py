"""The wheel's build hook: compiles the native kernel for the common kinds of processor of this architecture.

A wheel that was built without a C++ compiler, or for another system than Linux, holds no kernel and fits every machine.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Where the package looks for its kernels.
SHIPPED = "scanner/dense/native/prebuilt"


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds one library for each target, and the platform to the wheel's name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel's files are gathered; an editable install compiles at first use."""
        if version == "editable":
            return
        build = _load_build(Path(self.root))
        compiler = build.find_compiler()
        if compiler is None or sys.platform != "linux":
            self.app.display_warning("no C++ compiler, or no Linux: the wheel holds no native kernel")
            return
        folder = Path(self.directory) / "kernels"
        for target in build.targets_of(platform.machine()):
            path = folder / f"{target.name}.so"
            try:
                build.compile_kernel(compiler, target, path, is_shipped=True)
            except subprocess.CalledProcessError as error:
                self.app.abort(f"{target.name}: {error.stderr}")
            build_data["force_include"][str(path)] = f"{SHIPPED}/{target.name}.so"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing but the wheel."""
        shutil.rmtree(Path(self.directory) / "kernels", ignore_errors=True)


def _load_build(root: Path) -> ModuleType:
    """`scanner.dense.native.build` by its path: its package needs torch, which no build environment has."""
    spec = spec_from_file_location("kernel_build", root / "scanner" / "dense" / "native" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    return module
