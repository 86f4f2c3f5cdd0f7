"""Models, health, readiness and metrics, and who asks."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.access.keys import Right
from service.api.contract.problems import problems
from service.api.contract.schemas import HealthOut, MeOut, ModelsOut, ReadyOut
from service.api.running.context import CallerDep, ClientDep, ServiceDep
from service.api.running.metrics import MEDIA_TYPE, render

router = APIRouter(tags=["operation"])


@router.get("/models", summary="The models offered, with their cards", responses=problems())
def list_models(service: ServiceDep, _client: ClientDep) -> ModelsOut:
    """The card of each model, and the default model."""
    return ModelsOut(default=service.catalog.default, models=[entry.card for entry in service.catalog.entries.values()])


@router.get("/me", summary="Who you are, and what you may do", responses=problems())
def get_me(service: ServiceDep, client: CallerDep) -> MeOut:
    """By the key, the token or the share link of this request: for pages, which show what can be done."""
    may = [right for right in Right if client.may(right) and (right is not Right.SHARE or service.links.are_on)]
    job = client.shared.job if client.shared else None
    return MeOut.model_validate({"name": client.name, "may": [right.name.lower() for right in may], "job": job})


@router.get("/healthz", summary="Liveness")
async def get_health() -> HealthOut:
    """Answers as long as the API process runs. Needs no key."""
    return HealthOut()


@router.get(
    "/readyz",
    summary="Readiness: whether scans are accepted and will run",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "A check has failed"}},
)
async def get_readiness(service: ServiceDep) -> Response:
    """Checks the job database, disk, model and that a worker is alive, within a second. Needs no key."""
    checks = await service.readiness.checks()
    ready = all(checks.values())
    body = ReadyOut(status="ready" if ready else "not ready", checks=checks)
    return JSONResponse(body.model_dump(), 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
)
def get_metrics(request: Request, service: ServiceDep, client: CallerDep) -> Response:
    """Requests, jobs by state, workers, scans, disk. Needs the role metrics or admin."""
    client.require(Right.METRICS)
    return Response(render(service, request.app.state.registry), media_type=MEDIA_TYPE)
