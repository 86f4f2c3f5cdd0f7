"""Pictures of measured races: how long each way takes at q = 1, and the dense forms at every output stride."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.dense.race import Race


def draw_races(races: Sequence[Race], path: Path, *, title: str) -> None:
    """Write one picture: a column per network, bars above, lines below."""
    networks = list(dict.fromkeys(race.rows[0].network for race in races))
    figure = Figure(figsize=(6.2 * len(networks), 10), layout="constrained")
    axes = figure.subplots(2, len(networks), squeeze=False)
    for column, network in enumerate(networks):
        own = [race for race in races if race.rows[0].network == network]
        _draw_bars(axes[0, column], own[0])
        _draw_strides(axes[1, column], own)
    figure.suptitle(fill(title, 80 * len(networks)), fontsize=8)
    figure.savefig(path, dpi=80)


def _draw_bars(axes: Axes, race: Race) -> None:
    rows = sorted(race.rows, key=lambda row: -row.timing.median_cpu)
    colours = ["tab:red" if "native" in row.contestant else "tab:blue" for row in rows]
    bars = axes.barh([row.contestant for row in rows], [row.timing.median_cpu for row in rows], color=colours)
    axes.bar_label(bars, [f" {row.timing.median_cpu:,.0f}" for row in rows], fontsize=7)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("ns of processor time per covered pixel")
    axes.set_title(f"{rows[0].network}, q = {rows[0].stride}, tile {rows[0].tile}")


def _draw_strides(axes: Axes, races: Sequence[Race]) -> None:
    races = sorted(races, key=lambda race: race.rows[0].stride)
    names = [row.contestant for row in races[0].rows if row.contestant.startswith("dense")]
    for name in names:
        points = [(row.stride, row.timing.median_cpu) for race in races for row in race.rows if row.contestant == name]
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="output stride q, px", ylabel="ns of processor time per covered pixel")
    ticks = [race.rows[0].stride for race in races]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(fontsize=7)
