"""Quotas: how many bytes of slides a client may keep here."""

from __future__ import annotations

import threading

from service.access.limits import Allowance
from service.settings import Settings
from service.slides_in.holdings import find_holding, held_bytes
from service.slides_in.store_slide import StoredSlide, stored_size
from service.slides_in.tus import Upload, create, hold_slide, promised_bytes

#: Counting and adding are one step: requests that come at once are not all counted before any is added.
_turn = threading.Lock()


def allowance_for(settings: Settings, client: str, *, but: str = "") -> Allowance:
    """What one more upload of the client may have; `but` names a resumable one that is not counted beside itself."""
    if not settings.client_quota_bytes:
        return Allowance(settings.max_upload_bytes)
    kept = held_bytes(settings, client) + promised_bytes(settings, client, but=but)
    return Allowance(settings.max_upload_bytes, settings.client_quota_bytes - kept)


def begin_upload(settings: Settings, upload: Upload) -> None:
    """Begin a resumable upload, if its owner may keep what it promises."""
    with _turn:
        allowance_for(settings, upload.owner).require(upload.length or 0)
        create(settings, upload)


def keep_slide(settings: Settings, client: str, slide: StoredSlide) -> None:
    """Note that a client keeps a slide that was stored, if it may; else retention removes it."""
    with _turn:
        if settings.client_quota_bytes and find_holding(settings, client, slide.sha256) is None:
            allowance_for(settings, client).require(min(stored_size(slide, settings), settings.max_upload_bytes))
        hold_slide(settings, client, slide)
