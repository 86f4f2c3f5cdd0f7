"""Padded networks by zones beside the patch loop: `python -m benchmarks.zones [--write]`.

Three networks that pad, at two strides. The goal: the loop takes at least 0.6 times as many times longer as it takes
FLOPs. The loop is the fastest of four: batches of 4 and 16, in both memory layouts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.dense.measure import Case, measure
from scanner.dense import PatchwiseNet, score_patches
from scanner.dense.zones import zone

RESULTS = Path(__file__).parent / "results"
#: Patches along each axis by zones, and of the loop in a row.
_SIDE, _LOOP = 48, 64


class _Loop(nn.Module):
    """The loop as torch has it: rows and columns last."""

    def __init__(self, net: nn.Module, side: int, batch: int) -> None:
        super().__init__()
        self.net, self.side, self.batch = net, side, batch

    def forward(self, images: Tensor) -> Tensor:
        """Every patch."""
        scores: Tensor = score_patches(self.net, images, self.side, batch_size=self.batch)
        return scores


class _Residual(nn.Module):
    def __init__(self, channels: int, maps: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_unit(channels, maps, 3, stride=stride), *_unit(maps, maps, 3)[:-1])
        is_same = channels == maps and stride == 1
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(channels, maps, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Both branches, added."""
        return torch.relu(self.body(x) + self.shortcut(x))


def _unit(channels: int, maps: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, maps, kernel, stride, padding=kernel // 2), nn.BatchNorm2d(maps), nn.ReLU()]


def _vgg() -> nn.Module:
    layers, channels = [], 3
    for maps in (16, 32, 64):
        layers += [*_unit(channels, maps, 3), *_unit(maps, maps, 3), nn.MaxPool2d(2)]
        channels = maps
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, 2))


def _wide_kernels() -> nn.Module:
    layers = [*_unit(3, 24, 7), nn.MaxPool2d(3, 2, padding=1), *_unit(24, 32, 5), nn.MaxPool2d(3, 2, padding=1)]
    return nn.Sequential(*layers, *_unit(32, 48, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 2))


def _residual() -> nn.Module:
    stages = [_Residual(16, 16, 1), _Residual(16, 32, 2), _Residual(32, 64, 2)]
    return nn.Sequential(*_unit(3, 16, 3), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))


#: Network and patch size.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "VGG-like, 6 convolutions, 64 px": (_vgg, 64),
    "5 x 5 and 7 x 7 kernels, 80 px": (_wide_kernels, 80),
    "residual, 3 blocks, 96 px": (_residual, 96),
}


def race(name: str, stride: int, *, rounds: int) -> str:
    """One row of the table."""
    torch.manual_seed(1)
    make, side = NETWORKS[name]
    net = make().eval()
    zoned = zone(net, side, stride)
    image = torch.randn(1, 3, *[(_SIDE - 1) * stride + side] * 2)
    loops = [PatchwiseNet(net, side, 1, batch_size=batch) for batch in (4, 16)]
    loops += [_Loop(net, side, batch) for batch in (4, 16)]
    strip = torch.randn(1, 3, side, side + _LOOP - 1)
    cases = [Case("zones", lambda: zoned(image), _SIDE**2)]
    cases += [Case("loop", lambda loop=loop: loop(strip), _LOOP) for loop in loops]
    times = [timing.median_cpu for timing in measure(cases, rounds=rounds)]
    faster, flops = min(times[1:]) / times[0], zoned.estimate.flop_ratio
    with torch.inference_mode():
        part = image[:, :, : side + 2 * stride, : side + 2 * stride]
        difference = float((zoned(image)[:, :, :3, :3] - score_patches(net, part, side, stride)).abs().max())
    return (
        f"| {name} | {stride} | {zoned.estimate.cut} | {min(times[1:]) / 1e3:.0f} | {times[0] / 1e3:.0f} "
        f"| {faster:.1f} | {flops:.1f} | {faster / flops:.2f} | {difference:.0e} |"
    )


def table(rounds: int) -> Iterator[str]:
    """The rows, one by one."""
    names = "network", "stride", "zones up to", "loop, us a patch", "zones", "times faster", "times fewer FLOPs"
    yield f"| {' | '.join((*names, 'share', 'difference'))} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in NETWORKS:
        for stride in (1, 4):
            yield race(name, stride, rounds=rounds)


def main() -> None:
    """Print the table, and keep it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for line in table(options.rounds):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "zones.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
