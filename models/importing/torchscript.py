"""TorchScript files. They are code; they are loaded only where the caller says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ModelDamagedError


class Resized(nn.Module):
    """A network that looks at patches at another size than they are read in."""

    def __init__(self, net: nn.Module, side: int) -> None:
        super().__init__()
        self.net = net
        self.side = side

    def forward(self, patches: Tensor) -> Any:
        """As the bundle's own `Resize` does: bilinear, and smoothed where it shrinks."""
        size = (self.side, self.side)
        return self.net(nn.functional.interpolate(patches, size, mode="bilinear", antialias=True))


def load_script(path: Path) -> nn.Module:
    """The TorchScript module of a file: this runs code."""
    try:
        module: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelDamagedError(f"{path} is no TorchScript module: {str(error).splitlines()[0]}") from error
    return module.eval()
