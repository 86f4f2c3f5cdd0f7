"""create_app: the parts of the service, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from service import errors, queue
from service.auth import KeyRing, load_keys
from service.browser import SecurityHeaders
from service.catalog import Catalog
from service.context import Service
from service.limits import RateLimit
from service.metrics import instrument
from service.results import Results
from service.routes import detect, files, jobs, operation, pages, viewer
from service.schemas import RESEARCH_USE, DetectSource
from service.settings import Settings
from service.store import Store, make_engine
from service.tiles import TileMaker
from service.waiting import JobWaiter

DESCRIPTION = f"""
Finds mitotic figures in whole slides and fields: every position of the tissue is scored by a patch classifier,
exactly, and the peaks of that map are the detections. Coordinates are level-0 pixels from the top left.

**{RESEARCH_USE}**
"""


def create_app(settings: Settings, keys: KeyRing | None = None) -> FastAPI:
    """The API over the store and the data folder that `settings` names. Workers are processes of their own."""
    app = FastAPI(
        title="mitoscan",
        version=version("mitoscan"),
        description=DESCRIPTION,
        lifespan=_lifespan(settings, keys or load_keys(settings)[0]),
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry = instrument(app)
    app.add_middleware(SecurityHeaders)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]
        )
    for router in (detect.router, jobs.router, files.router, viewer.router, operation.router, pages.router):
        app.include_router(router)
    errors.install(app)
    app.openapi = _completed(app.openapi, has_keys=keys is not None and not keys.is_open)  # type: ignore[method-assign]
    return app


def _lifespan(settings: Settings, keys: KeyRing) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = open_service(settings, keys)
        app.state.service = service
        waiting = asyncio.create_task(service.waiter.run())
        try:
            yield
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            service.tiles.close()
            service.queue.close()
            service.store.engine.dispose()

    return lifespan


def open_service(settings: Settings, keys: KeyRing) -> Service:
    """The parts of the service, its folders and tables made where they are missing."""
    for folder in (settings.uploads, settings.results):
        folder.mkdir(parents=True, exist_ok=True)
    queue.migrate(settings.store_url)
    store = Store(make_engine(settings.store_url))
    store.create_tables()
    return Service(
        settings=settings,
        store=store,
        queue=queue.QueueClient(store.engine),
        catalog=Catalog(settings.models, settings.default_model),
        results=Results(settings.results),
        keys=keys,
        rate=RateLimit(settings.requests_per_minute),
        waiter=JobWaiter(store),
        tiles=TileMaker(),
    )


def _completed(openapi: Callable[[], dict[str, Any]], *, has_keys: bool) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document with what FastAPI cannot know: bodies read as streams, and keys if they are asked for."""

    def complete() -> dict[str, Any]:
        document = openapi()
        schema = DetectSource.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schema.pop("$defs") | {"DetectSource": schema}
        if has_keys:
            document["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
            document["security"] = [{"key": []}]
        return document

    return complete
