"""Classifiers of timm and torchvision, by name, where these are installed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from models.errors import CardError, ExtraMissingError

#: Operators of object detection whose results torchvision describes when it is imported, loaded or not.
_DESCRIBED = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
#: The declarations of `_declare_detection`: they end with these.
_DECLARED: list[torch.library.Library] = []


def build_timm(*, name: str, num_classes: int = 2, **settings: Any) -> nn.Module:
    """`timm.create_model` without weights."""
    timm = _import("timm")
    return _build("timm", name, lambda: timm.create_model(name, pretrained=False, num_classes=num_classes, **settings))


def build_torchvision(*, name: str, num_classes: int = 2, **settings: Any) -> nn.Module:
    """`torchvision.models.get_model` without weights."""
    models = _import("torchvision.models")
    make = models.get_model
    return _build("torchvision", name, lambda: make(name, weights=None, num_classes=num_classes, **settings))


def _build(library: str, name: str, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except (RuntimeError, ValueError, TypeError) as error:
        raise CardError(f"{library} makes no {name!r}: {error}") from error


def _import(name: str) -> ModuleType:
    """torchvision, or timm, which imports it; also where torchvision's operators cannot be loaded."""
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:
        if not isinstance(error, RuntimeError) or "operator torchvision::" not in str(error):
            raise ExtraMissingError(f"{name} cannot be used: {error}; pip install 'mitoscan[timm]'") from error
    _declare_detection()
    try:
        with warnings.catch_warnings(action="ignore"):  # Of the operators, which no classifier needs.
            return import_module(name)
    except (ImportError, RuntimeError) as error:
        raise ExtraMissingError(
            f"{name} cannot be used: {error}; install a torchvision built for this torch"
        ) from error


def _declare_detection() -> None:
    """Declare the operators that torchvision describes, so that it can be imported without them.

    Its wheels for Linux are built for CUDA: beside a torch for CPUs its compiled operators cannot be loaded. It means
    to do without, and says so whenever one is called; but torch takes no description of what nobody has declared.
    """
    if not _DECLARED:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in _DESCRIBED:
            library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]
        _DECLARED.append(library)
    half_imported = [name for name in sys.modules if name.partition(".")[0] in {"torchvision", "timm"}]
    for name in half_imported:
        del sys.modules[name]
