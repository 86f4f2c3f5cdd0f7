"""The native form: the dilated form as one streaming kernel in C++, for chains of layers on a CPU in float32."""

from scanner.dense.native.library import Kernel, NativeUnavailableError, Origin, load_kernel
from scanner.dense.native.packing import Rows
from scanner.dense.native.run import NativeChain

__all__ = ["Kernel", "NativeChain", "NativeUnavailableError", "Origin", "Rows", "load_kernel"]
