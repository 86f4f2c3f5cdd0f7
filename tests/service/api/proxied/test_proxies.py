"""What proxies say counts if they are trusted: prefixes in every link, and paths with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.routes.pages import OURS
from service.proxies import OWN_SEGMENTS, check_prefix, link, served_below
from service.settings import Settings
from tests.service.server_process import Server

HEADERS = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}


@pytest.fixture
def below(tmp_path: Path) -> Iterator[TestClient]:
    """A service with a root_path, asked from an address that is no proxy's."""
    app = create_app(Settings(data=tmp_path, root_path="/a/mito", trusted_proxies=("10.0.0.0/8",)))
    proxied = TestClient(app, "http://127.0.0.1", client=("192.0.2.1", 50000), follow_redirects=False)
    with proxied as client:
        yield client


@pytest.mark.parametrize("there", ["", "/a/mito"], ids=["taken away", "passed on"])
def test_the_setting_is_in_every_link(below: TestClient, there: str) -> None:
    place = below.post(f"{there}/uploads/tus", headers=HEADERS).headers["location"]
    assert place.startswith("/a/mito/uploads/tus/")
    assert below.head(place, headers=HEADERS).status_code == 200
    assert below.head(place.removeprefix("/a/mito"), headers=HEADERS).status_code == 200
    assert below.get(f"{there}/openapi.json").json()["servers"] == [{"url": "/a/mito"}]
    assert below.get(f"{there}/docs/?a=b").headers["location"] == "/a/mito/docs?a=b"
    assert below.get(f"{there}/").text == OURS["index.html"].read_text(encoding="utf-8")


def test_other_paths_are_none_of_the_service(below: TestClient) -> None:
    assert below.get("/a/mito").headers["location"] == "/a/mito/"
    assert {
        below.get(path).status_code for path in ("/a/mitox/docs", "/a/docs", "/mito/docs", "/a/mito/a/mito/docs")
    } == {404}


def test_only_trusted_proxies_are_believed(server: Server) -> None:
    said = {"X-Forwarded-Prefix": "/said", "X-Forwarded-For": "203.0.113.9"}
    with httpx.Client(
        base_url=server.client.base_url, transport=httpx.HTTPTransport(local_address="127.0.0.3")
    ) as other:
        for client, prefix, address in ((server.client, "/said", "203.0.113.9"), (other, "", "127.0.0.3")):
            place = client.post("/uploads/tus", headers=HEADERS | said | {"X-Forwarded-Host": "evil.example"}).headers[
                "location"
            ]
            assert place.startswith(f"{prefix}/uploads/tus/")
            trail = (server.folder / "data" / "audit" / "audit.jsonl").read_text().splitlines()
            (entry,) = [line for line in trail if place.rpartition("/")[2] in line]
            assert f'"address": "{address}"' in entry
        assert other.get("/docs", headers={"X-Forwarded-Prefix": "no path"}).status_code == 200


@pytest.mark.parametrize(
    "prefix", ["/said/", "said", "https://evil.example", "//evil.example", "/a,/b", "/jobs", "/a" * 9]
)
def test_a_prefix_that_is_none_is_refused(client: httpx.Client, prefix: str) -> None:
    answer = client.get("/docs", headers={"X-Forwarded-Prefix": prefix})
    assert answer.status_code == 400
    assert "X-Forwarded-Prefix" in answer.json()["detail"]


@given(st.text(st.sampled_from("/.a%\"'<\\:\n ?#é,~"), max_size=12) | st.text(max_size=8))
def test_a_prefix_can_neither_leave_the_host_nor_a_page(value: str) -> None:
    try:
        prefix = check_prefix(value)
    except ValueError:
        return
    address = httpx.URL("https://host/").join(f"{prefix}/jobs")
    assert (address.host, address.path) == ("host", f"{value}/jobs")
    assert not set(value) & set("\"'<>\\\r\n %?#,")


@pytest.mark.parametrize(
    ("setting", "value"), [("root_path", "mito/"), ("root_path", "/docs"), ("trusted_proxies", ["proxy.example"])]
)
def test_settings_that_make_no_sense_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        Settings(**{setting: value})


def test_the_services_own_first_segments_are_known(tmp_path: Path) -> None:
    own = {path.split("/")[1] for path in create_app(Settings(data=tmp_path)).openapi()["paths"]}
    assert own | {"docs", "static", "openapi.json"} == OWN_SEGMENTS


def test_links_have_the_prefix_of_their_own_request_only() -> None:
    with served_below("/outer"):
        with served_below("/inner"):
            assert link("/jobs") == "/inner/jobs"
        assert link("/jobs") == "/outer/jobs"
    assert link("/jobs") == "/jobs"


@pytest.mark.parametrize("name", sorted(name for name in OURS if name.endswith((".html", ".js", ".css"))))
def test_pages_and_scripts_name_no_path_from_the_root(name: str) -> None:
    text = OURS[name].read_text(encoding="utf-8")
    found = [f"{quote}/{own}" for own in OWN_SEGMENTS for quote in "\"'`(=" if f"{quote}/{own}" in text]
    assert found == []
    assert 'href="/"' not in text
