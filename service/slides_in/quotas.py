"""Quotas: how many bytes of slides a group may store."""

from __future__ import annotations

import threading

from service.access.limits import Allowance
from service.settings import Settings
from service.slides_in.holdings import find_holding, held_bytes
from service.slides_in.store_slide import StoredSlide, stored_size
from service.slides_in.tus import Upload, create, hold_slide, promised_bytes

#: Held while bytes are counted and added, so that concurrent requests do not all pass the same count.
_turn = threading.Lock()


def allowance_for(settings: Settings, group: str, *, besides: str = "") -> Allowance:
    """How large one more upload of the group may be; `besides` is a resumable one that must not count twice."""
    if not settings.client_quota_bytes:
        return Allowance(settings.max_upload_bytes)
    kept = held_bytes(settings, group) + promised_bytes(settings, group, besides=besides)
    return Allowance(settings.max_upload_bytes, settings.client_quota_bytes - kept)


def begin_upload(settings: Settings, upload: Upload) -> None:
    """Create a resumable upload, if its owner's quota has room for its declared length."""
    with _turn:
        allowance_for(settings, upload.owner).require(upload.length or 0)
        create(settings, upload)


def keep_slide(settings: Settings, group: str, slide: StoredSlide) -> None:
    """Record that a group keeps a stored slide, if its quota allows; if not, retention removes the slide."""
    with _turn:
        if settings.client_quota_bytes and find_holding(settings, group, slide.sha256) is None:
            allowance_for(settings, group).require(min(stored_size(slide, settings), settings.max_upload_bytes))
        hold_slide(settings, group, slide)
