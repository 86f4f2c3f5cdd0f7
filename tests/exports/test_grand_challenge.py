import json
from pathlib import Path

from scanner.detections.detection import Detection
from scanner.exports.grand_challenge import write_points


def test_points_are_millimetres_and_keep_what_lies_below_the_threshold(tmp_path: Path) -> None:
    high = Detection(row=80, col=40, row_um=20.0, col_um=10.0, score=0.75, label="mitosis", border=False)
    low = Detection(row=8, col=4, row_um=2.0, col_um=1.0, score=0.25, label="mitosis", border=False)
    write_points(tmp_path / "mitotic-figures.json", [high, low], threshold=0.75)
    assert json.loads((tmp_path / "mitotic-figures.json").read_text()) == {
        "name": "Points of interest",
        "type": "Multiple points",
        "points": [
            {"name": "mitotic figure", "point": [0.01, 0.02, 0], "probability": 0.75},
            {"name": "non-mitotic figure", "point": [0.001, 0.002, 0], "probability": 0.25},
        ],
        "version": {"major": 1, "minor": 0},
    }
