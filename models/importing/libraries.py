"""Classifiers of timm and torchvision, by name, where these are installed."""

from __future__ import annotations

from typing import Any

from torch import nn

from models.errors import CardError, ExtraMissingError


def build_timm(*, name: str, num_classes: int = 2, **settings: Any) -> nn.Module:
    """`timm.create_model` without weights."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another torch.
        raise ExtraMissingError(f"timm cannot be used: {error}; pip install 'mitoscan[timm]'") from error
    try:
        net: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, **settings)
    except (RuntimeError, ValueError, TypeError) as error:
        raise CardError(f"timm makes no {name!r}: {error}") from error
    return net


def build_torchvision(*, name: str, num_classes: int = 2, **settings: Any) -> nn.Module:
    """`torchvision.models.get_model` without weights."""
    try:
        from torchvision.models import get_model
    except (ImportError, RuntimeError) as error:
        raise ExtraMissingError(f"torchvision cannot be used: {error}; pip install 'mitoscan[timm]'") from error
    try:
        net: nn.Module = get_model(name, weights=None, num_classes=num_classes, **settings)
    except (RuntimeError, ValueError, TypeError) as error:
        raise CardError(f"torchvision makes no {name!r}: {error}") from error
    return net
