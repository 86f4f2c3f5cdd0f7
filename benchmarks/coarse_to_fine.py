"""What `--stride auto` loses and saves on labelled fields: `python -m benchmarks.coarse_to_fine --data FOLDER`.

Every field is scanned three times: at the card's stride, in full at the fine stride, and coarse to fine. A peak of the
full scan counts as found if the coarse-to-fine scan has one within the card's radius whose score is the same within
1e-4.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models import DEFAULT_MODEL, Model, load_model
from models.registry import load_folds
from scanner import scan
from scanner.dense.capabilities import describe_machine
from scanner.detections.detection import Detection
from scanner.evaluation.folds import unseen_by
from scanner.labels.fields import LabelledField, read_fields
from scanner.settings import FINE_STRIDE

RESULTS = Path(__file__).parent / "results" / "coarse-to-fine.md"
#: Of the images of MITOS-ATYPIA-14's Aperio scanner.
MPP = 0.2275
#: Scores from which peaks are compared, beside the card's threshold.
FLOORS = (0.5, 0.2, 0.05)
#: Scores that differ less are the same.
SAME = 1e-4
#: A figure is found by a detection this near, in micrometres (the rule of the data set).
RULE_UM = 8.0
SCANS = {
    "card": "card's stride",
    "full": f"full, stride {FINE_STRIDE}",
    "auto": "--stride auto",
}


def main() -> None:
    """Scan the fields and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels.csv")
    parser.add_argument("--fields", type=int, default=24, help="so many, evenly spread, those with figures first")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, folds, counts = load_model(DEFAULT_MODEL), load_folds(DEFAULT_MODEL), Counter[str]()
    for field in spread(read_fields(options.data, mpp=MPP), options.fields):
        counts.update(compare(field, unseen_by(model, folds, field.case)))
        print(field.path.name, dict(counts), flush=True)
    text = "\n".join(table(counts, model))
    print(text)
    if options.write:
        RESULTS.write_text(text + "\n", encoding="utf-8")


def spread(fields: Sequence[LabelledField], wanted: int) -> list[LabelledField]:
    """`wanted` of the fields, evenly spread: as many of those with figures as there are, then others."""
    chosen: list[LabelledField] = []
    for group in ([f for f in fields if len(f.points)], [f for f in fields if not len(f.points)]):
        count = min(wanted - len(chosen), len(group))
        chosen += [group[index * len(group) // count] for index in range(count)]
    return chosen


def compare(field: LabelledField, model: Model) -> dict[str, float]:
    """Counts and seconds of one field."""
    found: dict[str, float] = {"fields": 1, "figures": len(field.points)}
    results = {}
    for name, keywords in {"card": {}, "full": {"stride": FINE_STRIDE}, "auto": {"coarse_to_fine": True}}.items():
        started = time.process_time()
        result = scan(field.path, model, mpp=field.mpp, tissue=False, **keywords)
        found[f"{name} seconds"] = time.process_time() - started
        found[f"{name} figures"] = figures_found(field, result.detections)
        found[f"{name} detections"] = len(result.detections)
        results[name] = result
    values = np.asarray(results["auto"].map)
    found["map px"], found["close px"] = values.size, int(np.count_nonzero(values))
    radius_px = model.card.radius_um / field.mpp
    for floor in (model.card.threshold, *FLOORS):
        peaks = [peak for peak in results["full"].candidates if peak.score >= floor]
        found[f"peaks {floor}"] = len(peaks)
        found[f"same {floor}"] = sum(has_same(results["auto"].candidates, peak, radius_px) for peak in peaks)
        ours = [peak for peak in results["auto"].candidates if peak.score >= floor]
        found[f"extra {floor}"] = sum(not has_same(results["full"].candidates, peak, radius_px) for peak in ours)
    return found


def has_same(candidates: Sequence[Detection], peak: Detection, radius_px: float) -> bool:
    """True if one of the candidates is that peak."""
    return any(
        abs(other.score - peak.score) <= SAME and math.dist((other.row, other.col), (peak.row, peak.col)) <= radius_px
        for other in candidates
    )


def figures_found(field: LabelledField, detections: Sequence[Detection]) -> int:
    """Labelled figures with a detection near them."""
    places = [(detection.row, detection.col) for detection in detections]
    return sum(any(math.dist(place, point) * field.mpp <= RULE_UM for place in places) for point in field.points)


def table(counts: Counter[str], model: Model) -> list[str]:
    """Lines of the report."""
    share = counts["close px"] / counts["map px"]
    lines = [
        describe_machine(),
        "",
        f"{model.card.name} {model.card.version}, {counts['fields']} labelled fields of all cases, each by the fold "
        f"that never saw its case, {counts['figures']} figures; tissue everywhere. "
        f"{share:.1%} of the map was looked at closely.",
        "",
        "| scan | processor time, s | detections | labelled figures found |",
        "|---|---|---|---|",
    ]
    for name, title in SCANS.items():
        seconds, detections = counts[f"{name} seconds"], counts[f"{name} detections"]
        lines.append(f"| {title} | {seconds:.1f} | {detections} | {counts[f'{name} figures']} |")
    lines += ["", "| peaks of the full scan from | there are | found, same score | of others |", "|---|---|---|---|"]
    for floor in (model.card.threshold, *FLOORS):
        total, same, extra = (counts[f"{kind} {floor}"] for kind in ("peaks", "same", "extra"))
        lines.append(f"| {floor} | {total} | {same} ({same / max(1, total):.1%}) | {extra} |")
    return lines


if __name__ == "__main__":
    main()
