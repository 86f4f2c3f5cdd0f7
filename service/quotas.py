"""Quotas: how many bytes of slides a client may keep here."""

from __future__ import annotations

from service.holdings import held_bytes
from service.limits import Allowance
from service.resumable import promised_bytes
from service.settings import Settings


def allowance_for(settings: Settings, client: str, *, but: str = "") -> Allowance:
    """What one more upload of the client may have; `but` names a resumable one that is not counted beside itself."""
    if not settings.client_quota_bytes:
        return Allowance(settings.max_upload_bytes)
    kept = held_bytes(settings, client) + promised_bytes(settings, client, but=but)
    return Allowance(settings.max_upload_bytes, settings.client_quota_bytes - kept)
