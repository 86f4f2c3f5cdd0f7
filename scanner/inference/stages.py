"""The stages after the network: how far they are, and whether they shall stop.

All of them read the map, so the map tells of each box before it is read. What was scored stays when they are stopped;
`scanner.detections.kept` says what else.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from scanner.detections.kept import KeptFiles, KeptScores
from scanner.errors import ScanCancelledError
from scanner.geometry.frames import Box
from scanner.maps.store import ProbabilityMap
from scanner.result import Progress, Watch


class Stage(StrEnum):
    """What a scan does after the network."""

    FIGURES = "figures"  # background, peaks; the classes of a segmentation
    RESCORING = "rescoring"  # candidates a second time
    CHECKS = "checks"  # places scanned a second time, and what numbers cost
    FILES = "files"


class Stages:
    """Tells the caller of a scan whose network has run how far it is, and asks whether it shall stop."""

    def __init__(self, watch: Watch, name: str, scanned: Progress, *, folder: Path) -> None:
        self._watch = watch
        self._name = name
        self._scanned = scanned
        self._stage = Stage.FIGURES
        #: Callers may rely on being called by one thread.
        self._thread = threading.get_ident()
        self.scores, self.files = KeptScores(folder), KeptFiles(folder)

    def enter(self, stage: Stage, share: float = 0.0) -> None:
        """Say that so much of a stage is done.

        Raises
        ------
        ScanCancelledError
            The caller wants no more.
        """
        if self._watch.should_stop():
            raise ScanCancelledError(f"{self._name}: cancelled after the network, in stage {stage!s}")
        self._stage = stage
        self._watch.on_progress(replace(self._scanned, stage=stage, stage_share=share))

    def watch(self, probability_map: ProbabilityMap) -> None:
        """Be told of what is read of the map."""
        height = probability_map.shape[0]

        def on_read(box: Box) -> None:
            # Rescoring counts candidates; a picture that is drawn beside is no stage of its own.
            if threading.get_ident() == self._thread and self._stage is not Stage.RESCORING:
                self.enter(self._stage, min(1.0, box.top / height))

        probability_map.on_read = on_read
