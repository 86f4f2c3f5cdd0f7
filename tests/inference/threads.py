"""Slides read by several threads at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scanner.slides import open_slide


def assert_threads_read_the_same(path: Path, boxes: Sequence[tuple[int, int, int, int]], *, level: int) -> None:
    """Raise unless four threads read of a slide what one has read of it, opened on its own."""
    with open_slide(path) as slide:
        alone = [slide.read(level, box) for box in boxes]
    with open_slide(path) as slide, ThreadPoolExecutor(4) as threads:
        for one, other in zip(alone, threads.map(lambda box: slide.read(level, box), boxes), strict=True):
            np.testing.assert_array_equal(one, other)
