"""One node of an ONNX file, and how its inputs and attributes are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.errors import ModelDamagedError

#: A layer or function, and the values that it takes; None for a constant.
Built = tuple[Any, list[Any]] | None


@dataclass(frozen=True)
class Operation:
    """One node of the graph."""

    name: str
    #: Values of its inputs: tensors of the file, or what earlier steps give; None where one is left out.
    inputs: list[Any]
    attributes: dict[str, Any]

    @property
    def x(self) -> Any:
        """The first input."""
        return self.inputs[0]

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or what ONNX takes in its place."""
        return self.attributes.get(name, default)

    def optional(self, index: int) -> Any:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def fixed(self, index: int) -> Tensor:
        """An input that must be a tensor of the file."""
        value = self.optional(index)
        if not isinstance(value, Tensor):
            raise ModelDamagedError(f"{self.name}: input {index} is computed from the image; only fixed ones are known")
        return value

    def numbers(self, attribute: str, index: int) -> list[int] | None:
        """Integers that older files have as an attribute and newer ones as an input."""
        if attribute in self.attributes:
            return [int(value) for value in self.attributes[attribute]]
        return None if self.optional(index) is None else [int(value) for value in self.fixed(index).flatten()]
