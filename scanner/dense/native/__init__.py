"""The native form: the dilated form as one streaming kernel in C++, for chains of layers on a CPU in float32."""

from scanner.dense.native.build import NativeUnavailableError, load_library
from scanner.dense.native.packing import Rows
from scanner.dense.native.run import NativeChain

__all__ = ["NativeChain", "NativeUnavailableError", "Rows", "load_library"]
