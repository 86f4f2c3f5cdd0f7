"""nginx serves the service below a prefix, as the documentation shows: all of it works, and nothing leads out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Request, Response

from service.api.contract.worklists import JobList
from service.client import Client
from tests.service.api.proxied.nginx import PREFIX, run_nginx
from tests.service.fields import make_field, png
from tests.service.server_process import Server

TUS = {"Tus-Resumable": "1.0.0"}
#: The client has another address than nginx, which connects from 127.0.0.1.
CLIENT = "127.0.0.2"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[str]:
    with run_nginx(tmp_path_factory.mktemp("nginx"), server) as running:
        yield running


@pytest.fixture(scope="module")
def outside(address: str) -> Iterator[httpx.Client]:
    """A client that takes links as they are: they have the prefix."""
    transport = httpx.HTTPTransport(local_address=CLIENT)
    with httpx.Client(base_url=address.removesuffix(PREFIX), transport=transport, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def job(outside: httpx.Client) -> dict:
    answer = outside.post(f"{PREFIX}/detect", content=png(make_field(500)), params={"threshold": "0.01"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return answer.json()


def test_every_link_of_a_job_leads_there(outside: httpx.Client, job: dict) -> None:
    listed = outside.get(job["links"]["files"]).raise_for_status().json()
    links = [*job["links"].values(), *(file["link"] for file in listed["files"])]
    assert [link for link in links if not link.startswith(f"{PREFIX}/jobs/{job['id']}")] == []
    assert {outside.get(link).status_code for link in links} == {200}
    outside.post(f"{PREFIX}/detect", content=png(make_field(502))).raise_for_status()
    page = outside.get(f"{PREFIX}/jobs?limit=1").raise_for_status().json()
    assert page["next"].startswith(f"{PREFIX}/jobs?")
    assert outside.get(page["next"]).status_code == 200


def test_events_tiles_and_reviews_work(outside: httpx.Client, job: dict) -> None:
    events = outside.get(job["links"]["events"]).text
    told = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith('data: {"')]
    assert [one["links"]["self"] for one in told] == [job["links"]["self"]]
    size = outside.get(f"{job['links']['self']}/slide.json").raise_for_status().json()
    tile = outside.get(f"{job['links']['self']}/slide_files/{size['levels'] - 1}/0_0.jpeg")
    assert (tile.status_code, tile.headers["content-type"]) == (200, "image/jpeg")
    added = outside.post(f"{job['links']['review']}/marks", json={"x": 10, "y": 10})
    assert added.headers["location"] == f"{job['links']['review']}/marks/{added.json()['id']}"
    assert outside.delete(added.headers["location"]).status_code == 204


def test_an_upload_in_pieces_is_sent_to_where_it_was_told(outside: httpx.Client) -> None:
    body = png(make_field(501))
    begun = outside.post(f"{PREFIX}/uploads/tus", headers=TUS | {"Upload-Length": str(len(body))})
    place = begun.headers["location"]
    assert place.startswith(f"{PREFIX}/uploads/tus/")
    for start, end in ((0, 1000), (1000, len(body))):
        headers = TUS | {"Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        assert outside.patch(place, content=body[start:end], headers=headers).status_code == 204
        assert outside.head(place, headers=TUS).headers["upload-offset"] == str(end)


def test_the_python_client_takes_the_address_with_the_prefix(address: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(make_field(500)))
    with Client(address) as client:
        job = client.detect(tmp_path / "a.png", threshold=0.01)
        assert client.download(job.id, "run.json", tmp_path).stat().st_size > 0
        first = client._ask(JobList, "GET", "/jobs?limit=1")
        assert first.next
        second = client._ask(JobList, "GET", client._address(first.next))
    assert {first.jobs[0].id, second.jobs[0].id} >= {job.id}
    assert first.jobs[0].id != second.jobs[0].id


def test_the_trail_has_the_address_of_the_client(server: Server, outside: httpx.Client, job: dict) -> None:
    path = f"/jobs/{job['id']}/detections"
    outside.get(f"{PREFIX}{path}", headers={"X-Forwarded-For": "192.0.2.7"}).raise_for_status()
    lines = (server.folder / "data" / "audit" / "audit.jsonl").read_text().splitlines()
    assert {entry["address"] for entry in map(json.loads, lines) if entry["path"] == path} == {CLIENT}


def test_the_description_names_the_prefix(outside: httpx.Client) -> None:
    assert outside.get(f"{PREFIX}/openapi.json").json()["servers"] == [{"url": PREFIX}]


@pytest.mark.parametrize("path", ["/", "/docs", "{job}/view", "/jobs/none/view"])
def test_what_a_page_names_is_there(address: str, outside: httpx.Client, job: dict, path: str) -> None:
    here = httpx.URL(address + path.format(job=f"/jobs/{job['id']}"))
    named = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', outside.get(here).text)
    assert len(named) > 2
    assert {outside.get(here.join(one)).status_code for one in named} == {200}


def test_pages_load_nothing_from_elsewhere(address: str, page: Page, job: dict) -> None:
    asked: list[str] = []
    failed: list[str] = []

    def note(response: Response) -> None:
        asked.append(response.url)
        if response.status >= 400:
            failed.append(f"{response.status} {response.url}")

    def note_failure(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # The page was left.
            failed.append(f"{request.failure} {request.url}")

    page.on("response", note)
    page.on("requestfailed", note_failure)
    page.goto(f"{address}/")
    page.wait_for_selector("#model option", state="attached")
    with page.expect_response(lambda answer: "/slide_files/" in answer.url):
        page.click(f"a[href='{job['links']['view']}']")
    page.wait_for_selector("body[data-review]")
    assert int(page.inner_text("#count")) == job["count"]
    page.click("nav a")
    page.click("text=API")
    page.wait_for_selector("#docs .opblock")
    assert failed == []
    assert [url for url in asked if not url.startswith((f"{address}/", "blob:", "data:"))] == []
