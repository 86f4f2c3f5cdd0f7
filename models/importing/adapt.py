"""What stands between a scan and a network from elsewhere: patch shape, channel order, which output, what it means."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from models.card import ModelCard
from models.errors import CardError

#: What a network's outputs are.
SCORES = ("logits", "probabilities")
#: Orders of the colour channels; slides are read as RGB.
CHANNEL_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class Adaptation:
    """Further entries of a card's `arguments`, for networks that were not made for this program."""

    #: Rows and columns that the network looks at, in the middle of the square patch; None: all of it.
    patch_shape: tuple[int, int] | None = None
    channel_order: str = "RGB"
    #: Which output, of a network with several: position or name.
    output: int | str | None = None
    #: "logits", or "probabilities" that its last layer has made.
    scores: str = "logits"

    def __post_init__(self) -> None:
        """Refuse what is unknown."""
        if self.scores not in SCORES or self.channel_order not in CHANNEL_ORDERS:
            known = f"scores: {', '.join(SCORES)}; channel_order: {', '.join(CHANNEL_ORDERS)}"
            raise CardError(f"scores = {self.scores!r}, channel_order = {self.channel_order!r}; known are {known}")
        if self.patch_shape is not None and (len(self.patch_shape) != 2 or min(self.patch_shape) < 1):
            raise CardError(f"patch_shape = {self.patch_shape!r} is not rows and columns")


def split_arguments(arguments: dict[str, Any]) -> tuple[Adaptation, dict[str, Any]]:
    """The adaptation that a card's arguments ask for, and the rest of them."""
    names = {field.name for field in fields(Adaptation)}
    own: dict[str, Any] = {key: value for key, value in arguments.items() if key in names}
    if own.get("patch_shape") is not None:
        own["patch_shape"] = tuple(own["patch_shape"])
    return Adaptation(**own), {key: value for key, value in arguments.items() if key not in names}


class Adapted(nn.Module):
    """(N, C, P, P), in RGB if that is it, -> logits (N, classes), whatever the network itself takes and gives."""

    def __init__(self, net: nn.Module, adaptation: Adaptation, *, patch_size: int, channels: int) -> None:
        super().__init__()
        self.net = net
        self.adaptation = adaptation
        self.patch_size = patch_size
        #: A network with one output for two classes gives the second one's; the first has the rest.
        self.is_single = False
        self.image_channels = channels

    def forward(self, patches: Tensor) -> Tensor:
        """Logits for the centre of each patch."""
        adaptation = self.adaptation
        if adaptation.patch_shape is not None:
            top, left = (self.patch_size // 2 - length // 2 for length in adaptation.patch_shape)
            height, width = adaptation.patch_shape
            patches = patches[:, :, top : top + height, left : left + width]
        if adaptation.channel_order == "BGR":
            patches = torch.cat([patches[:, 2:3], patches[:, 1:2], patches[:, 0:1]], dim=1)
        scores = self.net(patches)
        if adaptation.output is not None:
            scores = scores[adaptation.output]
        if adaptation.scores == "probabilities":
            scores = torch.log(torch.clamp(scores, min=torch.finfo(torch.float32).tiny))
            return torch.cat([torch.log1p(-torch.exp(scores)), scores], dim=1) if self.is_single else scores
        return torch.cat([scores * 0.0, scores], dim=1) if self.is_single else scores


@torch.inference_mode()
def fit(net: nn.Module, card: ModelCard) -> nn.Module:
    """`net`, adapted, and seen to answer for each class of a patch.

    Raises
    ------
    CardError
        It fails on such patches, or gives another number of scores.
    """
    adaptation, _ = split_arguments(card.arguments)
    side, channels, classes = card.patch_size, card.normalisation.channels, len(card.classes)
    if adaptation.channel_order == "BGR" and channels != len("BGR"):
        raise CardError(f"channel_order = 'BGR' is for three channels, not for {channels}")
    adapted = Adapted(net, adaptation, patch_size=side, channels=channels).eval()
    weight = next((p for p in (*net.parameters(), *net.buffers()) if p.is_floating_point()), torch.zeros(()))
    try:
        scores = adapted(torch.zeros(2, channels, side, side, dtype=weight.dtype))
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CardError(f"the network fails on patches of {side} px in {channels} channels: {reason}") from error
    if not isinstance(scores, Tensor):
        kind = type(scores).__name__
        raise CardError(f"the network returns a {kind} of outputs; say which in the card: [arguments] output = ...")
    if scores.shape == (2, 1) and classes == 2:
        adapted.is_single = True
    elif scores.shape != (2, classes):
        raise CardError(f"the network gives scores of shape {tuple(scores.shape)} for 2 patches and {classes} classes")
    return adapted
