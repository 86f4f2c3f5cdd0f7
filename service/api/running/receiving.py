"""Receives a slide in a request's body; all limits are checked before its first byte is read."""

from __future__ import annotations

from urllib.parse import unquote

from anyio import to_thread
from fastapi import Request

from service.access.keys import Client
from service.access.limits import Allowance, require_disk
from service.api.running.context import Service
from service.slides_in.quotas import allowance_for, keep_slide
from service.slides_in.store_slide import StoredSlide, receive_form, receive_raw

#: Most bytes of a form beside its slide, and of a JSON body in all.
MAX_JSON = 16_384


async def receive_body(request: Request, service: Service, client: Client) -> StoredSlide:
    """Store the slide in a request's body, raw or as the files of a form, and note that its group keeps it."""
    if content_type(request) != "multipart/form-data":
        name = unquote(request.headers.get("x-file-name", "upload"))
        return await receive_one(request, service, client, name=name)
    settings = service.settings
    allowance = await to_thread.run_sync(_allow_body, request, service, client)
    kind = request.headers["content-type"]
    slide = await receive_form(request.stream(), settings, allowance=allowance, content_type=kind)
    await to_thread.run_sync(keep_slide, settings, client.group, slide)
    return slide


async def receive_one(request: Request, service: Service, client: Client, *, name: str) -> StoredSlide:
    """Store the slide that is a request's raw body, and note that its group keeps it."""
    allowance = await to_thread.run_sync(_allow_body, request, service, client)
    slide = await receive_raw(request.stream(), service.settings, allowance=allowance, name=name)
    await to_thread.run_sync(keep_slide, service.settings, client.group, slide)
    return slide


def _allow_body(request: Request, service: Service, client: Client) -> Allowance:
    """How large the body may be; raises if quota or disk have no room for a body of the declared length."""
    settings = service.settings
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    allowance = allowance_for(settings, client.group)
    allowance.require(size - MAX_JSON)  # The body of a form is a little longer than its slide.
    require_disk(settings, size)
    return allowance


def content_type(request: Request) -> str:
    """The media type of a request's body, from its Content-Type."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
