"""How far a slide is whose bands are scored on several hosts."""

from __future__ import annotations

from dataclasses import dataclass, field

from scanner.devices.device_queue import StageSeconds
from scanner.inference.progress import Progress


@dataclass
class SlideProgress:
    """What is known of a slide that is being scanned."""

    #: By `time.monotonic`.
    started: float
    #: How far each of its bands is.
    bands: list[Progress] = field(default_factory=list)
    #: What its bands took, on all hosts.
    spent: StageSeconds = field(default_factory=StageSeconds)

    def add_seconds(self, seconds: StageSeconds) -> None:
        """Add what a band took."""
        for name, value in vars(seconds).items():
            setattr(self.spent, name, getattr(self.spent, name) + value)

    def update(self, band: int, progress: Progress) -> bool:
        """Note how far a band is; False if that is known already: reports may overtake each other."""
        if band >= len(self.bands) or progress.tiles_done <= self.bands[band].tiles_done:
            return False
        self.bands[band] = progress
        return True

    def complete(self, band: int) -> bool:
        """Note that all tiles of a band are scored; False if that is known already."""
        whole = self.bands[band]
        return self.update(band, Progress(whole.tiles_total, whole.tiles_total, whole.mm2_total, whole.mm2_total))

    @property
    def total(self) -> Progress:
        """Of all bands together."""
        counts = ((band.tiles_done, band.tiles_total, band.mm2_done, band.mm2_total) for band in self.bands)
        return Progress(*(sum(numbers) for numbers in zip(*counts, strict=True)))
