"""curves.png: precision over recall and FROC, each case and all together, with the point of the threshold in use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scanner.evaluation.curves import Curve, count_at, trace_curve
from scanner.evaluation.matching import ScoredField
from scanner.evaluation.rules import Rule

#: Inches, and dots per inch.
SIZE, DPI = (11.0, 5.0), 110
#: False positives per mm2 at the right end of a FROC plot.
MOST_WRONG_PER_MM2 = 40.0


def write_curves(path: Path, fields: Sequence[ScoredField], rule: Rule, *, threshold: float, title: str) -> None:
    """Draw the curves of `fields` into a PNG; the dot is where `threshold` lies."""
    from matplotlib.figure import Figure  # Here: it takes half a second, and a scan needs none of it.

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    precision_recall, froc = figure.subplots(1, 2)
    cases = sorted({one.case for one in fields})
    for case in cases if len(cases) > 1 else []:
        own = [one for one in fields if one.case == case]
        _draw(precision_recall, froc, trace_curve(own, rule), label=f"{case} ({sum(f.count for f in own)})", width=1.0)
    curve = trace_curve(fields, rule)
    _draw(precision_recall, froc, curve, label=f"all ({curve.figures})", width=2.5, color="black")
    counts = count_at(fields, rule, threshold=threshold)
    precision_recall.plot(counts.recall, counts.precision, "o", color="black")
    froc.plot(counts.wrong / curve.area_mm2, counts.recall, "o", color="black", label=f"threshold {threshold:.2f}")
    precision_recall.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    froc.set(xlabel="wrong detections per mm2", ylabel="recall", xlim=(0, MOST_WRONG_PER_MM2), ylim=(0, 1.02))
    precision_recall.set_title(f"AP {curve.average_precision:.3f}, F1 {counts.f1:.3f}")
    froc.set_title(str(rule))
    froc.legend(loc="lower right", title="case (figures)")
    for axes in (precision_recall, froc):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, metadata={"Software": None})


def _draw(
    precision_recall: Any, froc: Any, curve: Curve, *, label: str, width: float, color: str | None = None
) -> None:
    precision_recall.plot(curve.recall, curve.precision, linewidth=width, color=color)
    froc.plot(curve.wrong_per_mm2, curve.recall, linewidth=width, color=color, label=label)
