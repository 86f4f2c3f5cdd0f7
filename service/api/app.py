"""create_app: builds the FastAPI application and the parts of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from models.card import NOTICE
from service.access.key_ring import KeyRing, load_keys
from service.access.limits import RateLimit, SubmissionLimiter
from service.api.behind_proxy import BehindProxy
from service.api.body_timeout import BodyTimeout
from service.api.contract import errors
from service.api.contract.examples import add_examples
from service.api.contract.requests import DetectSource
from service.api.contract.tus_protocol import EXPOSED, complete_description
from service.api.head import HeadAsGet
from service.api.own_hosts import OwnHosts
from service.api.plain_bodies import PlainBodies
from service.api.routes import (
    comparison,
    detect,
    files,
    jobs,
    operation,
    pages,
    rescan,
    review,
    reviewed_files,
    shares,
    tus,
    uploads,
    viewer,
    worklist,
)
from service.api.running.context import Service
from service.api.running.metrics import instrument
from service.api.running.readiness import Readiness
from service.api.security_headers import SecurityHeaders
from service.api.targets import PlainTargets
from service.api.tus_headers import TusHeaders
from service.jobs import dbos_queue
from service.jobs.catalog import Catalog
from service.jobs.counters import Counters
from service.jobs.migrating import open_store
from service.jobs.presence import Presence
from service.jobs.store import Store
from service.jobs.waiting import JobWaiter
from service.proxies import link
from service.results.results import Results
from service.results.tile_processes import TileMaker
from service.review.reviews import Reviews
from service.review.worklist import Worklist
from service.settings import Settings
from service.sharing.links import Links
from service.sharing.shares import Shares
from service.slides_in.appending import Appender
from service.telemetry.audit import AuditTrail
from service.telemetry.request_log import RequestLog

#: A slide coarser than this many times the model's mpp is refused; equal to scanner.scanning.COARSEST.
COARSEST = 4.0
#: The files of routes; of two that match a path, the first answers.
RESOURCES = (
    detect,
    tus,
    uploads,
    worklist,
    jobs,
    rescan,
    comparison,
    review,
    reviewed_files,
    shares,
    files,
    viewer,
    operation,
    pages,
)
DESCRIPTION = f"""
Finds mitotic figures in whole slides and fields: every position of the tissue is scored by a patch classifier,
exactly, and the peaks of that map are the detections. Coordinates are level-0 pixels from the top left.

**{NOTICE}**
"""


def create_app(settings: Settings, keys: KeyRing | None = None) -> FastAPI:
    """The API for the job database and data folder in `settings`. Workers are separate processes."""
    keys = keys or load_keys(settings)[0]
    catalog = Catalog(settings.models, settings.default_model)
    app = FastAPI(
        title="mitoscan",
        version=version("mitoscan"),
        description=DESCRIPTION,
        lifespan=_lifespan(settings, keys, catalog),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.registry = instrument(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(PlainBodies)
    app.add_middleware(BodyTimeout, timeout_s=settings.client_timeout_s)
    app.add_middleware(PlainTargets)
    app.add_middleware(TusHeaders)
    app.add_middleware(OwnHosts, settings=settings, keys=keys)
    app.add_middleware(SecurityHeaders, frame_origins=settings.frame_origins)
    app.add_middleware(AuditTrail, folder=settings.audit_folder, keep_days=settings.audit_keep_days)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Location", "ETag", "Retry-After", *EXPOSED],
        )
    app.add_middleware(RequestLog)
    app.add_middleware(BehindProxy, root_path=settings.root_path, trusted_proxies=settings.trusted_proxies)
    for part in RESOURCES:
        app.include_router(part.router)
    errors.install(app)
    app.openapi = partial(_complete, app.openapi, catalog, keys)  # type: ignore[method-assign]
    return app


def _lifespan(settings: Settings, keys: KeyRing, catalog: Catalog) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = open_service(settings, keys, catalog)
        app.state.service = service
        waiting = asyncio.create_task(service.waiter.run())
        try:
            yield
        finally:
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            service.close()

    return lifespan


def open_service(settings: Settings, keys: KeyRing, catalog: Catalog) -> Service:
    """The parts of the service; creates missing folders and tables."""
    for folder in (settings.uploads, settings.results):
        folder.mkdir(parents=True, exist_ok=True)
    engine = open_store(settings.store_url)
    queues = dbos_queue.QueueClient(engine)
    store, reviews = Store(engine, queues.announce_end), Reviews(engine)
    reviews.count_older()
    return Service(
        settings=settings,
        store=store,
        presence=Presence(engine),
        counters=Counters(engine),
        queue=queues,
        catalog=catalog,
        results=Results(settings.results),
        keys=keys,
        rate=RateLimit(settings.requests_per_minute),
        submissions=SubmissionLimiter(),
        readiness=Readiness(settings, catalog),
        waiter=JobWaiter(store),
        tiles=TileMaker(),
        appender=Appender(settings),
        reviews=reviews,
        worklist=Worklist(engine),
        links=Links(Shares(engine), settings, keys),
    )


def _complete(openapi: Callable[[], dict[str, Any]], catalog: Catalog, keys: KeyRing) -> dict[str, Any]:
    """The OpenAPI document with what FastAPI cannot know: streamed bodies, models, whether keys are on, the prefix."""
    document = deepcopy(openapi())  # It is kept, and completed again for the next prefix.
    document["components"]["schemas"].pop("HTTPValidationError", None)  # FastAPI's; ours is Problem.
    schema = DetectSource.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= schema.pop("$defs") | {"DetectSource": schema}
    parameters = {entry["name"]: entry["schema"] for entry in document["paths"]["/detect"]["post"]["parameters"]}
    if catalog.entries:
        parameters["model"]["anyOf"][0]["enum"] = list(catalog.entries)
        parameters["mpp"]["anyOf"][0]["maximum"] = COARSEST * max(entry.mpp for entry in catalog.entries.values())
    if not keys.is_open:
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer", "description": "a key, or a token of the identity provider"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
    add_examples(document)
    complete_description(document)
    return document | {"servers": [{"url": link("") or "/"}]}
