"""What a client may choose for a scan."""

from __future__ import annotations

from typing import TypedDict


class ScanChoices(TypedDict, total=False):
    """Query parameters of POST /detect.

    Examples
    --------
    >>> from service.client import ScanChoices
    >>> ScanChoices(threshold=0.3, stride=8)
    {'threshold': 0.3, 'stride': 8}
    """

    model: str
    threshold: float
    keep_ink: bool
    precision: str
    stride: int
    mpp: float
    image: int
    export: list[str]
    priority: str
    timeout_s: float
    webhook: str
    store: str
