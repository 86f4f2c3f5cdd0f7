"""A webhook is told once that a job has ended, signed, after failures too, and nobody else is told."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.jobs.lifecycle import Job, JobOptions, ScanRequest
from service.jobs.migrating import open_store
from service.jobs.store import Store
from service.jobs.webhooks import call_webhook
from service.settings import Settings
from tests.service.fields import make_field, make_large_field, png
from tests.service.local_servers import WebhookReceiver
from tests.service.server_process import Server


@pytest.mark.parametrize("path", ["/hook/plain", "/hook/fail-2"])
def test_the_end_of_a_job_is_told_and_signed(server: Server, receiver: WebhookReceiver, path: str) -> None:
    job_id = server.submit(png(make_field(40)), threshold=str(0.3 + len(path) / 100), webhook=receiver.address + path)
    deliveries = receiver.wait(path, 3 if "fail" in path else 1)
    headers, body = deliveries[-1]
    told = Webhook(WebhookReceiver.SECRET).verify(body, headers)
    assert told["type"] == "job.succeeded"
    assert told["data"]["id"] == job_id
    assert told["data"]["status"] == "SUCCEEDED"
    assert server.client.get(told["data"]["links"]["detections"]).status_code == 200
    assert {headers["webhook-id"] for headers, _ in deliveries} == {f"job-{job_id}"}
    for changed in (body + b" ", body.replace(b"SUCCEEDED", b"FAILED")):
        with pytest.raises(WebhookVerificationError):
            Webhook(WebhookReceiver.SECRET).verify(changed, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(WebhookReceiver.SECRET).verify(body, headers | {"webhook-timestamp": "1"})


def test_cancelled_failed_and_known_jobs_are_told_too(server: Server, receiver: WebhookReceiver) -> None:
    running = server.submit(png(make_large_field(41)), stride="1")
    waiting = server.submit(png(make_field(42)), webhook=f"{receiver.address}/hook/cancelled")
    server.client.delete(f"/jobs/{waiting}").raise_for_status()
    server.client.delete(f"/jobs/{running}")
    server.submit(png(make_field(43))[:2000], webhook=f"{receiver.address}/hook/failed")
    types = {path: json.loads(receiver.wait(f"/hook/{path}")[0][1])["type"] for path in ("cancelled", "failed")}
    assert types == {"cancelled": "job.cancelled", "failed": "job.failed"}
    body = png(make_field(44))
    server.client.post("/detect", content=body).raise_for_status()
    known = server.client.post("/detect", content=body, params={"webhook": f"{receiver.address}/hook/known"})
    assert known.json()["cached"]
    assert json.loads(receiver.wait("/hook/known")[0][1])["data"]["cached"]


def test_links_have_the_prefix_of_the_settings(receiver: WebhookReceiver, tmp_path: Path) -> None:
    prefixes = (f"{receiver.address}/hook/",)
    settings = Settings(
        data=tmp_path, root_path="/mito", webhook_prefixes=prefixes, webhook_secret=WebhookReceiver.SECRET
    )
    engine = open_store(settings.store_url)
    request = ScanRequest("uploads/a/slide.tif", "a", "slide.tif", "tiny", "b")
    options = JobOptions(webhook=f"{receiver.address}/hook/below")
    Store(engine).insert(Job("a", request, "local", 1.0, options=options), enqueue=lambda _connection: None)
    call_webhook(Store(engine), settings, "a")
    engine.dispose()
    told = json.loads(receiver.wait("/hook/below")[0][1])
    assert told["data"]["links"] == {
        "self": "/mito/jobs/a",
        "events": "/mito/jobs/a/events",
        "view": "/mito/jobs/a/view",
        "siblings": "/mito/jobs/a/siblings",
    }


def test_a_redirect_is_not_followed(server: Server, receiver: WebhookReceiver) -> None:
    server.submit(png(make_field(45)), webhook=f"{receiver.address}/hook/redirect")
    receiver.wait("/hook/redirect", 3)
    assert not [path for path, _, _ in receiver.told if "elsewhere" in path]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/hook/",
        "{address}/other",
        "{address}/hook/../other",
        "{address}/hook",
        "{address}@evil/hook/",
        "https://169.254.169.254/hook/",
        "file:///hook/",
        "javascript:alert(1)",
        "http://[::1",
    ],
)
def test_nobody_beside_the_allow_list_is_told(client: httpx.Client, receiver: WebhookReceiver, url: str) -> None:
    asked = url.format(address=receiver.address)
    answer = client.post("/detect", content=png(make_field(46)), params={"webhook": asked})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:mitoscan:webhook-forbidden"
