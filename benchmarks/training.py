"""What a labelled pixel costs in training: dense learning against patch by patch, forward and backward.

    python -m benchmarks.training [--network DNN1 DNN2] [--outputs 256] [--rounds 5]

Dense learning takes the loss at every pixel of a crop (q = 1) through the dense net, on the network's own parameters;
patch training takes it at batches of patches. The gradients are the same (tests/dense/test_dense_net.py), so the ratio
is that of equal work. Processor time of one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.dense.measure import Case, measure
from models.columns.dannet import DNN1, DNN2, DanNet, DanNetConfig
from scanner.dense import Form, densify

NETWORKS: dict[str, DanNetConfig] = {"DNN1": DNN1, "DNN2": DNN2}
#: Of the loops; the fastest of them counts.
BATCHES = (4, 16, 64)


def training_step(run: Callable[[Tensor], Tensor], net: nn.Module, images: Tensor, targets: Tensor) -> None:
    """Loss and gradient of `net`'s parameters, as an optimiser would ask for them."""
    with torch.inference_mode(False), torch.enable_grad():
        net.zero_grad(set_to_none=True)
        F.cross_entropy(run(images), targets).backward()


def cases_of(config: DanNetConfig, outputs: int) -> list[Case]:
    """Dense learning in both torch forms, then the patch loop at several batch sizes, plain and channels last."""
    torch.manual_seed(0)
    net, side = DanNet(config), config.patch_size
    crop = torch.randn(1, 3, side + outputs - 1, side + outputs - 1).contiguous(memory_format=torch.channels_last)
    wanted = torch.randint(0, 2, (1, outputs, outputs))
    cases = []
    for form in (Form.DILATION, Form.FRAGMENTS):
        dense = densify(net, side, form=form, trainable=True)
        cases.append(Case(str(form), lambda run=dense: training_step(run, net, crop, wanted), outputs**2))
    for layout in (torch.contiguous_format, torch.channels_last):
        loop = DanNet(config).to(memory_format=layout)
        name = "loop" if layout is torch.contiguous_format else "loop, channels last"
        for batch in BATCHES:
            patches = torch.randn(batch, 3, side, side).contiguous(memory_format=layout)
            labels = torch.randint(0, 2, (batch,))
            cases.append(Case(f"{name}, {batch}", lambda r=loop, p=patches, t=labels: training_step(r, r, p, t), batch))
    return cases


def table(networks: list[str], outputs: int, rounds: int) -> Iterator[str]:
    """The lines of the table, network by network."""
    yield "| network, q = 1 | dense, us a labelled pixel | plain loop | best loop | times faster, plain | best |"
    yield "|---|---|---|---|---|---|"
    for name in networks:
        cases = cases_of(NETWORKS[name], outputs)
        times = {c.name: t.median_cpu / 1e3 for c, t in zip(cases, measure(cases, rounds=rounds), strict=True)}
        form = min((Form.DILATION, Form.FRAGMENTS), key=lambda form: times[form])
        loops = {key: value for key, value in times.items() if key.startswith("loop")}
        plain = min(value for key, value in loops.items() if "last" not in key)
        best = min(loops, key=lambda key: loops[key])
        yield (
            f"| {name} | {times[form]:.2f} ({form}) | {plain:.0f} | {loops[best]:.0f} ({best}) "
            f"| {plain / times[form]:.0f} | {loops[best] / times[form]:.0f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--outputs", type=int, default=256, help="side of the crop, in labelled pixels")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for line in table(options.network, options.outputs, options.rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
