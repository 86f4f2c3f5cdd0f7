"""Receiving: a slide that is the body of a request, checked against every limit before its first byte is read."""

from __future__ import annotations

from urllib.parse import unquote

from anyio import to_thread
from fastapi import Request

from service.access.keys import Client
from service.access.limits import Allowance, require_disk
from service.api.running.context import Service
from service.slides_in.quotas import allowance_for, keep_slide
from service.slides_in.store_slide import StoredSlide, receive_form, receive_raw

#: What a form has beside its slide, and what a JSON body may have in all.
MAX_JSON = 16_384


async def receive_body(request: Request, service: Service, client: Client) -> StoredSlide:
    """The slide that a request's body is: raw, or the files of a form. It is the client's from then on."""
    if content_type(request) != "multipart/form-data":
        name = unquote(request.headers.get("x-file-name", "upload"))
        return await receive_one(request, service, client, name=name)
    settings = service.settings
    allowance = await to_thread.run_sync(_allow_body, request, service, client)
    kind = request.headers["content-type"]
    slide = await receive_form(request.stream(), settings, allowance=allowance, content_type=kind)
    await to_thread.run_sync(keep_slide, settings, client.name, slide)
    return slide


async def receive_one(request: Request, service: Service, client: Client, *, name: str) -> StoredSlide:
    """The slide that a request's raw body is."""
    allowance = await to_thread.run_sync(_allow_body, request, service, client)
    slide = await receive_raw(request.stream(), service.settings, allowance=allowance, name=name)
    await to_thread.run_sync(keep_slide, service.settings, client.name, slide)
    return slide


def _allow_body(request: Request, service: Service, client: Client) -> Allowance:
    """What the body may have; raises if there is no room for a slide, or none for one as large as the request says."""
    settings = service.settings
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    allowance = allowance_for(settings, client.name)
    allowance.require(size - MAX_JSON)  # A form is a little longer than its slide.
    require_disk(settings, size)
    return allowance


def content_type(request: Request) -> str:
    """The media type that a request says its body has."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
