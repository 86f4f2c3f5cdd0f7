"""Without keys, requests bear the service's own name and come from no other page; a first key comes in an address."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser
from pydantic import ValidationError

from service.api.own_hosts import is_own_host, is_own_origin
from service.settings import Settings
from tests.service.conftest import PATIENCE_MS
from tests.service.fields import make_field, png
from tests.service.server_process import Server, until


def port_of(client: httpx.Client) -> int:
    return client.base_url.port or 0


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "10.0.0.5", "", "a b"]
)
def test_a_foreign_host_is_answered_421(client: httpx.Client, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/jobs"), ("GET", "/healthz"), ("POST", "/detect"), ("HEAD", "/jobs/x")):
        answer = client.request(method, path, headers={"Host": host.format(port=port_of(client))})
        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"
        assert method == "HEAD" or "allowed_hosts" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "LOCALHOST", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", "127.1.2.3"]
)
def test_own_names_are_served_at_the_port_of_any_tunnel(client: httpx.Client, host: str) -> None:
    assert client.get("/jobs", headers={"Host": host.format(port=port_of(client))}).status_code == 200


def test_two_hosts_or_none_are_no_own_host(client: httpx.Client) -> None:
    for head in (b"GET /jobs HTTP/1.0\r\n\r\n", b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port_of(client)), timeout=60) as line:
            line.sendall(head)
            assert line.recv(100).split()[1] in {b"400", b"421"}


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example",
        "null",
        "http://localhost:1",
        "http://127.0.0.1",
        "file://",
        "",
        "x",
    ],
)
def test_a_foreign_origin_is_refused(client: httpx.Client, origin: str) -> None:
    before = client.get("/jobs").json()["jobs"]
    for method, path in (("GET", "/jobs"), ("POST", "/detect"), ("DELETE", "/jobs/x"), ("OPTIONS", "/jobs")):
        answer = client.request(method, path, headers={"Origin": origin}, content=png(make_field(4)))
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:mitoscan:origin-refused"
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/jobs").json()["jobs"] == before


def test_the_services_own_pages_may_call_it(client: httpx.Client) -> None:
    own = str(client.base_url).rstrip("/")
    assert client.get("/jobs", headers={"Origin": own}).status_code == 200
    assert client.delete("/jobs/x", headers={"Origin": own}).status_code == 404
    by_name = {"Host": f"localhost:{port_of(client)}", "Origin": f"http://localhost:{port_of(client)}"}
    assert client.get("/jobs", headers=by_name).status_code == 200


def test_names_and_origins_that_the_settings_list_are_own(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, allowed_hosts=("Scan.Example",), cors_origins=("https://lis.example",))
    assert is_own_host("scan.example", settings)
    assert is_own_host("scan.example:8443", settings)
    assert not is_own_host("x.scan.example", settings)
    assert is_own_origin("https://scan.example", "127.0.0.1:8000", settings), "behind a proxy with a Host of its own"
    assert is_own_origin("https://lis.example", "127.0.0.1:8000", settings)
    assert not is_own_origin("http://lis.example", "127.0.0.1:8000", settings)
    for wrong in ("http://scan.example", "scan.example:80", "scan.example/x", ""):
        with pytest.raises(ValidationError, match="without scheme, port and path"):
            Settings(allowed_hosts=(wrong,))


def test_a_service_that_is_open_on_a_network_is_reached_by_address_and_by_listed_names() -> None:
    settings = Settings(host="0.0.0.0", without_keys=True, allowed_hosts=("scan.example",))
    assert is_own_host("10.0.0.5:8000", settings)
    assert is_own_host("scan.example:8000", settings)
    assert not is_own_host("evil.example:8000", settings)


def test_the_first_key_is_printed_in_an_address_that_opens_the_page(
    tmp_path: Path, models_folder: Path, browser: Browser
) -> None:
    with Server(tmp_path, models_folder, MITOSCAN_WORKERS="0", MITOSCAN_HOST="0.0.0.0").start(
        wait_for_worker=False
    ) as server:
        address, key = until(lambda: re.search(r"(http://127\.0\.0\.1:\d+/)#token=(\S+)", server.log), server).groups()
        assert server.client.get("/jobs").status_code == 401
        assert server.client.get("/jobs", headers={"X-API-Key": key, "Host": "any.example"}).status_code == 200
        for opened in (f"{address}#token={key}", f"{address}?token={key}"):
            page = browser.new_page()
            page.set_default_timeout(PATIENCE_MS)
            with page.expect_response(lambda answer: answer.url.endswith("/models")) as models:
                page.goto(opened)
            assert models.value.status == 200
            assert key not in page.url
            assert page.evaluate("sessionStorage.getItem('mitoscan-key')") == key
            page.close()
