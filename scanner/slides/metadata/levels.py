"""Whether an image of that size can be a level of a larger one: the first condition, and never the only one."""

from __future__ import annotations


def is_reduction(reduced: tuple[int, int], full: tuple[int, int]) -> bool:
    """Whether one downsample explains both sides of two (height, width), each rounded up or down."""
    if not all(reduced):
        return False
    row_range, col_range = (_downsamples(whole, part) for whole, part in zip(full, reduced, strict=True))
    return max(row_range[0], col_range[0], 1.0) <= min(row_range[1], col_range[1])


def _downsamples(full: int, reduced: int) -> tuple[float, float]:
    return full / (reduced + 1), full / (reduced - 1) if reduced > 1 else float("inf")
