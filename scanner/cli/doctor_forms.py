"""Compare a device with the CPU in float32: one tile in every form and precision, a line for each."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch

from models import DEFAULT_MODEL, Model, load_model
from scanner.cli.doctor import Finding
from scanner.dense import DenseNet, Form
from scanner.devices.device import choose_device
from scanner.devices.device_queue import DeviceQueue, HostQueue, Pixels, StageSeconds
from scanner.devices.gpu_forms import DEFAULT_FORM, GpuForm, reason_of
from scanner.errors import SettingsError
from scanner.geometry.arrays import FloatMap
from scanner.inference.form_choice import SET_UP
from scanner.inference.form_comparison import WrongScoresError, as_logits, probe_pixels, refuse_other_scores
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.settings import PRECISIONS

#: Side of the scored area of the tile, in grid px.
SIDE = 512
#: On a CPU; the first that a network supports is its default.
CPU_FORMS = (Form.NATIVE, Form.DILATION, Form.FRAGMENTS)


@dataclass(frozen=True)
class _Check:
    """A tile, and its scores on the CPU in float32 by plain torch."""

    model: Model
    pixels: Pixels
    expected: FloatMap


def compare_forms(device: str, model: Model | None = None) -> list[Finding]:
    """Run one tile in each form and precision of a device.

    Parameters
    ----------
    device : str
        A torch device, or "auto".
    model : Model, optional
        The default model if left out; its network must be dense.

    Returns
    -------
    list of Finding
        A problem is a default form that is wrong or fails, in a precision that the device has.

    Raises
    ------
    SettingsError
        There is no such device.
    """
    model, chosen = model or load_model(DEFAULT_MODEL), choose_device(device)
    length = SIDE + model.card.patch_size
    pixels = probe_pixels((1, length, length, model.card.normalisation.pixel_channels))
    exact = as_logits(prepare_scorer(model, None, stride=model.card.stride, device="cpu"))
    check = _Check(model, pixels, _scores(_open_queue(exact, Form.DILATION, pixels.shape), pixels))
    return [finding for precision in PRECISIONS for finding in _in_precision(chosen, precision, check)]


def _in_precision(device: torch.device, precision: str, check: _Check) -> list[Finding]:
    card = check.model.card
    try:
        scorer = prepare_scorer(check.model, None, stride=card.stride, device=str(device), precision=precision)
    except SettingsError as error:
        return [Finding(f"{device}, {precision}", f"not available: {error}")]
    if device.type == "cuda":
        forms: tuple[Form | GpuForm, ...] = tuple(GpuForm)
        default: str = DEFAULT_FORM
    else:
        forms, default = CPU_FORMS, scorer.form
    return [_finding(as_logits(scorer), form, check, is_default=form == default) for form in forms]


def _finding(scorer: Scorer, form: Form | GpuForm, check: _Check, *, is_default: bool) -> Finding:
    name = f"{scorer.device}, {scorer.precision}, {form}{' (default)' if is_default else ''}"
    try:
        found = _scores(_open_queue(scorer, form, check.pixels.shape), check.pixels)
        difference = refuse_other_scores(found, check.expected, scorer.precision, "float32 on the CPU")
    except WrongScoresError as error:
        return Finding(name, f"wrong: {error}", is_fine=not is_default)
    except Exception as error:  # A form that does not run raises anything; the others are compared all the same.
        return Finding(name, f"does not run: {reason_of(error)}", is_fine=not is_default)
    return Finding(name, f"largest difference of a logit from float32 on the CPU: {difference:.1e}")


def _open_queue(scorer: Scorer, form: Form | GpuForm, tile_shape: tuple[int, ...]) -> DeviceQueue:
    if isinstance(form, GpuForm):
        return scorer.open_form(form, tile_shape, StageSeconds())
    assert isinstance(scorer.net, DenseNet)
    return HostQueue(replace(scorer, net=scorer.net.in_form(form)).compute, StageSeconds())


def _scores(queue: DeviceQueue, pixels: Pixels) -> FloatMap:
    """Of the last of as many launches as it takes until a form has set itself up, compiled and captured."""
    with closing(queue):
        values = [queue.launch(list(pixels)).result() for _ in range(SET_UP + 1)]
    return np.array(values[-1])
