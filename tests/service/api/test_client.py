"""The Python client does what the API offers, over a real connection, and goes on where one breaks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from service.client import Client, ServiceError, attempts, calls
from service.jobs.lifecycle import JobState
from tests.service.api.regions import polygon
from tests.service.fields import make_field, make_large_field, png
from tests.service.server_process import Server


@pytest.fixture
def ours(server: Server) -> Client:
    with Client(str(server.client.base_url)) as client:
        yield client


@pytest.fixture
def field(tmp_path: Path) -> Path:
    path = tmp_path / "a field.png"
    path.write_bytes(png(make_field(26)))
    return path


def test_a_slide_goes_in_and_its_files_come_out(ours: Client, field: Path, tmp_path: Path) -> None:
    job = ours.detect(field, threshold=0.3, export=["grand-challenge"], priority="high")
    assert job.status is JobState.SUCCEEDED
    assert job.name.endswith(".png")
    assert ours.wait(job.id).detections == job.detections
    assert ours.detections(job.id).detections == job.detections
    assert len(ours.detections(job.id, 0.99).detections) <= len(job.detections or [])
    for file in ours.files(job.id).files:
        path = ours.download(job.id, file.name, tmp_path)
        assert path.stat().st_size == file.bytes
    assert job.id in {listed.id for listed in ours.jobs(JobState.SUCCEEDED)}
    assert ours.models().default == "tiny"


def test_a_broken_line_costs_a_piece_and_not_the_upload(
    ours: Client, field: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PIECE", 7000)
    monkeypatch.setattr(attempts, "_pause", lambda _state: 0.0)
    breaks = iter([False, True, False, True])

    def break_off(request: httpx.Request) -> None:
        if request.method == "PATCH" and next(breaks, False):
            raise httpx.WriteError("the line is down", request=request)

    ours._http.event_hooks["request"].append(break_off)
    told: list[tuple[int, int]] = []
    upload = ours.upload(field, lambda sent, total: told.append((sent, total)))
    assert next(breaks, None) is None, "it has broken off twice"
    assert [sent for sent, _ in told] == sorted({sent for sent, _ in told}), "nothing is sent twice"
    assert told[-1] == (field.stat().st_size,) * 2
    assert ours.detect_source({"upload": upload}).status is JobState.SUCCEEDED
    at_once = ours.upload_at_once(field)
    assert at_once.id == hashlib.sha256(field.read_bytes()).hexdigest()


def test_jobs_are_cancelled_and_tried_again(ours: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(make_large_field(27)))
    job = ours.detect(path, wait=False, stride=1)
    ours.cancel(job.id)
    assert ours.wait(job.id, timeout_s=60).status is JobState.CANCELLED
    again = ours.retry(job.id)
    assert again.id != job.id
    with pytest.raises(TimeoutError):
        ours.wait(again.id, timeout_s=0)
    ours.cancel(again.id)


def test_a_region_is_scanned_again(ours: Client, field: Path) -> None:
    job = ours.detect(field)
    part = ours.wait(ours.rescan(job.id, polygon(0, 0, 100, 96), threshold=0.2, stride=8).id)
    assert (part.status, part.rescan_of, part.threshold) == (JobState.SUCCEEDED, job.id, 0.2)
    assert [one.id for one in ours.siblings(job.id) if one.rescan_of == job.id] == [part.id]
    found = ours.compare(part.id, job.id, threshold=0.3)
    assert (found.other_id, found.threshold, found.in_region) == (job.id, 0.3, True)
    with pytest.raises(ServiceError, match="lies off the slide"):
        ours.rescan(job.id, polygon(0, 0, 1000, 96))


def test_what_was_sent_is_deleted(ours: Client, field: Path) -> None:
    job = ours.detect(field, threshold=0.9)
    upload = ours.upload(field)
    ours.purge(job.id)
    ours.delete_upload(upload)
    for gone in (lambda: ours.job(job.id), lambda: ours.detect_source({"upload": upload})):
        with pytest.raises(ServiceError, match="404"):
            gone()


def test_refusals_say_why(ours: Client, tmp_path: Path) -> None:
    (tmp_path / "no-slide.txt").write_bytes(b"not a slide")
    with pytest.raises(ServiceError, match="Not a slide") as refusal:
        ours.upload(tmp_path / "no-slide.txt")
    assert refusal.value.status == 415
    assert refusal.value.problem["type"] == "urn:mitoscan:unsupported-slide"
    with pytest.raises(ServiceError, match="403"):
        ours.detect_source({"path": "/etc/passwd"})
    with pytest.raises(ServiceError, match="404"):
        ours.job("nobody")


def test_a_busy_service_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([httpx.Response(503, headers={"Retry-After": "0"}, json={"title": "busy"})] * 2)
    models = {"default": "tiny", "models": [], "notice": ""}
    transport = httpx.MockTransport(lambda _request: next(answers, httpx.Response(200, json=models)))
    with Client("http://service") as client:
        client._http = httpx.Client(base_url="http://service", transport=transport)
        assert client.models().default == "tiny"
