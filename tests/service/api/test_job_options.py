"""Priority, timeout and retry of jobs, and the trail of who asked for them."""

from __future__ import annotations

import json
from typing import get_args

from scanner.dense.capabilities import capabilities
from scanner.settings import PRECISIONS
from service.api.contract.requests import Precision
from tests.factories.ink import drawn
from tests.service.fields import make_field, make_large_field, png
from tests.service.server_process import Server


def test_urgent_jobs_go_first_and_patient_ones_last(server: Server) -> None:
    blocker = server.submit(png(make_large_field(30)), stride="1")
    server.wait(blocker, "RUNNING")
    asked = [
        (priority, server.submit(png(make_field(31 + number)), priority=priority))
        for number, priority in enumerate(["low", "normal", "high", "low", "high"])
    ]
    server.client.delete(f"/jobs/{blocker}")
    started = {job_id: server.wait(job_id)["started_at"] for _, job_id in asked}
    order = [priority for priority, job_id in sorted(asked, key=lambda entry: started[entry[1]])]
    assert order == ["high", "high", "normal", "low", "low"]
    oldest_first = [job_id for _, job_id in asked if _ == "high"]
    assert started[oldest_first[0]] < started[oldest_first[1]]


def test_a_scan_that_takes_too_long_fails_and_can_be_asked_for_again(server: Server) -> None:
    job_id = server.submit(png(make_large_field(32)), stride="1", timeout_s="0.3", priority="high")
    job = server.wait(job_id)
    assert job["status"] == "FAILED"
    assert job["problem"]["type"] == "urn:mitoscan:scan-timeout"
    assert "0.3 s" in job["problem"]["detail"]
    again = server.client.post(f"/jobs/{job_id}/retry", headers={"Idempotency-Key": "once-more"})
    assert again.status_code == 202
    new = again.json()
    assert again.headers["location"] == f"/jobs/{new['id']}"
    assert new["id"] != job_id
    assert (new["name"], new["priority"]) == (job["name"], "high")
    same = server.client.post(f"/jobs/{job_id}/retry", headers={"Idempotency-Key": "once-more"})
    assert same.json()["id"] == new["id"]
    assert server.wait(new["id"])["problem"] == job["problem"], "it has the same time again"
    assert server.client.get(f"/jobs/{job_id}").json()["status"] == "FAILED"


def test_what_has_not_failed_is_not_tried_again(server: Server) -> None:
    done = server.client.post("/detect", content=png(make_field(33))).json()
    answer = server.client.post(f"/jobs/{done['id']}/retry")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert server.client.post("/jobs/nobody/retry").status_code == 404


def test_the_trail_says_who_asked_for_what_and_no_names(server: Server) -> None:
    headers = {"X-File-Name": "Erika%20Mustermann.png"}
    job = server.client.post("/detect", content=png(make_field(34)), headers=headers).json()
    assert job["name"] == "Erika Mustermann.png"
    server.client.put("/uploads/Erika.png", content=png(make_field(35)))
    server.client.get(job["links"]["detections.csv"])
    server.client.get("/healthz")
    assert "Erika" not in server.log
    trail = (server.folder / "data" / "audit" / "audit.jsonl").read_text()
    assert "Erika" not in trail
    entries = [json.loads(line) for line in trail.splitlines()]
    asked = next(entry for entry in entries if entry.get("job") == job["id"] and entry["method"] == "POST")
    assert asked["client"] == "local"
    assert asked["role"] == "admin"
    assert asked["status"] == 200
    assert asked["address"] == "127.0.0.1"
    assert len(asked["slide"]) == 64
    assert any(entry["path"] == job["links"]["detections.csv"] for entry in entries)
    assert not any(entry["path"] == "/healthz" for entry in entries)


def test_a_slide_is_called_by_the_name_and_the_case_that_the_client_says(server: Server) -> None:
    field = png(make_field(47))
    first, second = (
        server.client.post("/detect", content=field, params=params).raise_for_status().json()
        for params in ({"name": "../Müller, left.svs", "case": "H-2026/17"}, {"name": "right.svs"})
    )
    assert (first["name"], first["case"]) == ("../Müller, left.svs", "H-2026/17")
    assert (second["name"], second["case"]) == ("right.svs", "")
    assert second["cached"], "identical bytes under two names are scanned once"
    kept = server.client.get(f"/jobs/{first['id']}").json()
    assert (kept["name"], kept["case"]) == (first["name"], first["case"])
    refused = server.client.post("/detect", content=field, params={"case": "x" * 201})
    assert refused.status_code == 422


def test_another_precision_is_another_result(server: Server) -> None:
    field = png(make_field(37))
    assert get_args(Precision) == PRECISIONS
    exact = server.client.post("/detect", content=field).json()
    assert server.client.post("/detect", content=field, params={"precision": "float32"}).json()["cached"]
    fast = server.client.post("/detect", content=field, params={"precision": "bfloat16"})
    if capabilities().has_bfloat16_convolutions:
        assert not fast.json()["cached"]
        report = server.client.get(f"/jobs/{fast.json()['id']}/files/run.json").json()
        assert (report["settings"]["precision"], set(report["precision"]) > set()) == ("bfloat16", True)
        assert server.client.get(f"/jobs/{exact['id']}/files/run.json").json()["settings"]["precision"] == "float32"
    else:
        assert (fast.status_code, "bfloat16" in fast.json()["detail"]) == (422, True)
    assert server.client.post("/detect", content=field, params={"precision": "float16"}).status_code == 422


def test_ink_is_left_out_unless_it_is_to_be_kept(server: Server) -> None:
    marked, _ = drawn(make_large_field(36, 3), (100, 300, 500, 300), ink="green", width=120)
    choices = ({}, {"keep_ink": "true"}, {"keep_ink": "false"})
    answers = [server.client.post("/detect", params=query, content=png(marked)).json() for query in choices]
    left_out, kept, again = (answer["area_mm2"] for answer in answers)
    assert left_out["ink"] > 0 == kept["ink"]
    assert left_out["tissue"] < kept["tissue"]
    assert again == left_out
    regions = server.client.get(f"/jobs/{answers[0]['id']}/regions").json()["features"]
    assert "Ink" in [feature["properties"]["name"] for feature in regions]
    assert server.client.post("/detect", params={"keep_ink": "perhaps"}, content=png(marked)).status_code == 422
