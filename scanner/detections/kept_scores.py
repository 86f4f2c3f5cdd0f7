"""Second scores that an unfinished scan has computed, kept in its folder: on a giant slide they take minutes."""

from __future__ import annotations

from pathlib import Path

from scanner.detections.detection import Detection
from scanner.files.journal import Journal, SyncClock, read_entries


class KeptScores:
    """Scores that candidates were given when they were scored again."""

    def __init__(self, folder: Path) -> None:
        path = folder / "rescored.jsonl"
        self._known: dict[tuple[float, float, str, float], float] = {}
        for entry in read_entries(path, {"place", "score"}):
            row, col, label, raw = entry["place"]
            self._known[row, col, label, raw] = entry["score"]
        self._journal, self._clock = Journal(path), SyncClock()

    def of(self, one: Detection) -> float | None:
        """The score that a candidate was given; None if it is not known."""
        return self._known.get((one.row, one.col, one.label, one.score))

    def keep(self, one: Detection, score: float) -> None:
        """Keep the score that a candidate was given."""
        self._journal.append({"place": [one.row, one.col, one.label, one.score], "score": score})
        if self._clock.is_due():
            self._journal.sync()
