"""What the command `evaluate` prints beside the pooled scores: intervals, the worst case, other scanners and organs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def summary_of(report: dict[str, Any]) -> Iterator[str]:
    """Lines of text from the content of evaluation.json."""
    intervals, tissue, worst = report["intervals"], report["unlabelled_tissue"], report["worst_case"]
    names = ("precision", "recall", "average_precision", "wrong_per_mm2")
    ranges = ", ".join(f"{name} {_range(intervals[name])}" for name in names)
    f1 = f"f1 {_range(report['f1_interval_by_case'])}, " if intervals["over"] == "cases" else ""
    yield f"95 % intervals over {intervals['groups']} {intervals['over']}: {f1}{ranges}"
    if worst is not None:
        yield f"worst case: {worst['case']}, f1 {worst['f1']:.3f}"
    if tissue["unlabelled_mm2"]:
        yield f"tissue without labels in cases not trained on: {_rate(tissue)}"
    for scanner, found in report["cut_out_figures"].items():
        yield (
            f"cut-out figures of {scanner}: recall {found['recall']:.3f} ({_range(found['recall_interval'])}), "
            f"{found['figures']} figures of {found['slides']} slides"
        )
    if report["points_only"] is not None:
        yield _points(report["points_only"])
    steadiest = report["steadiest_threshold"]
    if steadiest is not None:
        yield (
            f"steadiest threshold, chosen on these: {steadiest['threshold']:.3f}, where the worst is "
            f"{steadiest['worst']} with {steadiest['f1_or_recall']:.3f}"
        )


def _points(points: dict[str, Any]) -> str:
    shares = (("recall", "recall"), ("other cells detected", "others_detected"), ("AP", "average_precision"))
    said = ", ".join(f"{label} {points[key]:.3f} ({_range(points[f'{key}_interval'])})" for label, key in shares)
    return f"labelled points, {points['figures']} figures and {points['others']} other cells: {said}; {_rate(points)}"


def _rate(tissue: dict[str, Any]) -> str:
    low_to_high = _range(tissue["unlabelled_per_mm2_interval"])
    return (
        f"{tissue['unlabelled_per_mm2']:.2f} detections per mm2 ({low_to_high}) on {tissue['unlabelled_mm2']:.1f} mm2"
    )


def _range(pair: Sequence[float]) -> str:
    return f"{pair[0]:.3f} to {pair[1]:.3f}"
