"""The parts of the running service, made once at start-up, and the dependencies by which routes get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from service.access.key_ring import KeyRing
from service.access.keys import Client, Right
from service.access.limits import RateLimit, SubmissionLimiter
from service.api.running.readiness import Readiness
from service.jobs.backend import JobBackend
from service.jobs.counters import Counters
from service.jobs.lifecycle import Job
from service.jobs.presence import Presence
from service.jobs.store import JobNotFoundError
from service.results.tile_processes import TileMaker
from service.review.reviews import Reviews
from service.review.worklist import Worklist
from service.sharing.links import Links
from service.sharing.tokens import is_share_token
from service.slides_in.appending import Appender
from service.telemetry.audit import add_audit_fields


@dataclass(frozen=True)
class Service(JobBackend):
    """The parts of the running service."""

    presence: Presence
    counters: Counters
    keys: KeyRing
    rate: RateLimit
    submissions: SubmissionLimiter
    readiness: Readiness
    tiles: TileMaker
    appender: Appender
    reviews: Reviews
    worklist: Worklist
    links: Links

    def identify(self, key: str | None) -> Client:
        """The client that a key, a token or a share link belongs to."""
        if key and not self.keys.is_open and is_share_token(key):
            return self.links.identify(key)
        return self.keys.identify(key)

    def close(self) -> None:
        """Stop processes and threads, and close the database connections."""
        self.tiles.close()
        self.readiness.close()
        self.queue.close()
        self.store.engine.dispose()


def get_service(request: Request) -> Service:
    """The running service."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def get_caller(request: Request, service: ServiceDep) -> Client:
    """Who sends the request, in whatever role; counts it against the rate limit."""
    key = request.headers.get("x-api-key")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if key is None and scheme.lower() == "bearer":
        key = token.strip()
    client = service.identify(key)
    add_audit_fields(request, client=client.name, group=client.group, role=client.role.value)
    if client.shared is not None:
        add_audit_fields(request, share=client.shared.share, job=client.shared.job)
    service.rate.take(place_of(request, client))
    return client


def place_of(request: Request, client: Client) -> str:
    """The client at its address: what shares are given to, as many may use one key."""
    address = request.client.host if request.client else ""
    return f"{client.name} {address}"


CallerDep = Annotated[Client, Depends(get_caller)]


def get_client(client: CallerDep) -> Client:
    """The client of the request; NotAllowedError unless it may see jobs."""
    client.require(Right.READ)
    return client


ClientDep = Annotated[Client, Depends(get_client)]


def get_submitter(client: ClientDep) -> Client:
    """The client of the request; NotAllowedError unless it may submit scans."""
    client.require(Right.SUBMIT)
    return client


SubmitterDep = Annotated[Client, Depends(get_submitter)]


def get_reviewer(client: ClientDep) -> Client:
    """The client of the request; NotAllowedError unless it may give verdicts."""
    client.require(Right.REVIEW)
    return client


ReviewerDep = Annotated[Client, Depends(get_reviewer)]


def get_sharer(client: ClientDep) -> Client:
    """The client of the request; NotAllowedError unless it may share jobs."""
    client.require(Right.SHARE)
    return client


SharerDep = Annotated[Client, Depends(get_sharer)]

JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="id of a job")]


IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="a request repeated with the same key gets the same job",
    ),
]


def get_job(job_id: JobId, client: ClientDep, service: ServiceDep) -> Job:
    """The job of the path; JobNotFoundError if it is another group's."""
    job = service.store.get(job_id)
    if not client.may_see_job(job.id, job.client):
        raise JobNotFoundError(f"no job {job_id!r}")
    return job


JobDep = Annotated[Job, Depends(get_job)]
