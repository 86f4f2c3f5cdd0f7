"""The pages for people: upload, viewer, and the API's documentation."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def docs() -> HTMLResponse:
    """The operations of the API."""
    return HTMLResponse("<!doctype html><title>mitoscan API</title><a href='/openapi.json'>openapi.json</a>")


@router.get("/")
def index() -> RedirectResponse:
    """The upload page."""
    return RedirectResponse("/docs")
