"""The training loop: AdamW, cosine, averaged weights, hard negatives on the way; resumable at any checkpoint."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scanner.files.atomic import replacing
from scanner.training.batches import make_batch
from scanner.training.loss import dense_loss
from scanner.training.mining import mine
from scanner.training.recipe import Recipe
from scanner.training.sampling import Place, TrainingSet
from scanner.training.scoring import mixed_precision

#: The averaged weights start to count after this many steps: decay min(averaging, (1 + step) / (AVERAGING_LAG + step)).
AVERAGING_LAG = 10


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a training."""

    step: int
    steps: int
    #: Mean loss since the last report.
    loss: float
    #: Hard negatives mined so far.
    mined: int


OnProgress = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class TrainSettings:
    """How a training runs; none of it changes the result."""

    #: A torch device, or "auto": the GPU if there is one.
    device: str = "auto"
    #: The training continues from here if it exists, and is saved here.
    checkpoint: Path | None = None
    #: Steps between two checkpoints, and between two reports.
    checkpoint_every: int = 500
    report_every: int = 50


@dataclass
class TrainingState:
    """All state that a step changes."""

    net: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.Optimizer
    step: int
    training_set: TrainingSet


def start_training(net: nn.Module, training_set: TrainingSet, recipe: Recipe) -> TrainingState:
    """A training before its first step."""
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Biases and normalisation are not decayed.
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return TrainingState(net, copy.deepcopy(net), optimiser, 0, training_set)


def run_training(
    state: TrainingState,
    recipe: Recipe,
    *,
    settings: TrainSettings | None = None,
    on_progress: OnProgress | None = None,
) -> nn.Module:
    """The averaged network after all steps of `recipe`, in eval mode; continues from a checkpoint, if there is one."""
    settings = settings or TrainSettings()
    checkpoint = settings.checkpoint
    if checkpoint is not None and checkpoint.is_file():
        load_checkpoint(checkpoint, state)
    rounds = [round(share * recipe.steps) for share in recipe.mining]
    losses: list[float] = []
    while state.step < recipe.steps:
        if state.step in rounds:
            mined = mine(state.averaged, state.training_set, recipe, turn=rounds.index(state.step))
            pools = state.training_set.pools.with_mined(mined)
            state.training_set = replace(state.training_set, pools=pools)
        losses.append(_take_step(state, recipe))
        if on_progress is not None and state.step % settings.report_every == 0:
            count = len(state.training_set.pools.places["mined"])
            on_progress(TrainingProgress(state.step, recipe.steps, sum(losses) / len(losses), count))
            losses.clear()
        if checkpoint is not None and state.step % settings.checkpoint_every == 0:
            save_checkpoint(checkpoint, state)
    return state.averaged.eval()


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warmup = max(1, round(recipe.warmup * recipe.steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, recipe.steps - warmup)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write `state` so that it can be continued; atomically."""
    mined = [[p.field, p.row, p.col] for p in state.training_set.pools.places["mined"]]
    content: dict[str, Any] = {
        "net": state.net.state_dict(),
        "averaged": state.averaged.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "mined": torch.tensor(mined, dtype=torch.float64).reshape(-1, 3),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        torch.save(content, partial)


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Restore `state` from the checkpoint."""
    content = torch.load(path, weights_only=True)
    state.net.load_state_dict(content["net"])
    state.averaged.load_state_dict(content["averaged"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.step = content["step"]
    mined = tuple(Place(int(field), row, col) for field, row, col in content["mined"].tolist())
    state.training_set = replace(state.training_set, pools=state.training_set.pools.with_mined(mined))


def _take_step(state: TrainingState, recipe: Recipe) -> float:
    device = next(state.net.parameters()).device
    images, targets = (tensor.to(device) for tensor in make_batch(state.training_set, recipe, state.step))
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, state.step)
    state.net.train()
    with mixed_precision(device):
        loss = dense_loss(state.net, images, targets, smoothing=recipe.smoothing, weights=recipe.class_weights)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.step += 1
    _average(state.averaged, state.net, min(recipe.averaging, (1 + state.step) / (AVERAGING_LAG + state.step)))
    return float(loss.detach())


@torch.no_grad()
def _average(averaged: nn.Module, net: nn.Module, decay: float) -> None:
    """One step of the averaged weights; `swa_utils.AveragedModel` has one decay for all steps, and first copies."""
    for mean, value in zip(_tensors(averaged), _tensors(net), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]
