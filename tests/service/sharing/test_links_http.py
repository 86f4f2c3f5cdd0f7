"""Links by HTTP: who makes them, for how long, what is told of them, and what is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.access.keys import hash_key
from service.api.app import create_app
from service.settings import Settings
from service.sharing.links import HOUR
from service.sharing.secret import NAME
from service.sharing.shares import MAX_SHARES
from service.sharing.tokens import Claims, sign
from tests.service.api.problems import problem
from tests.service.jobs.test_store import add, job

KEYS = {
    name: f"{role}:local:{hash_key(name)}" for name, role in (("ann", "review"), ("eve", "read"), ("root", "admin"))
}
ANN, EVE = {"X-API-Key": "ann"}, {"X-API-Key": "eve"}
SHARES = "/jobs/a/shares"


@contextmanager
def running(folder: Path, **said: Any) -> Iterator[TestClient]:
    """A service of that folder, with a job of the group `local`."""
    app = create_app(Settings(data=folder, min_free_bytes=1, **{"api_keys": KEYS} | said))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        store = app.state.service.store
        if not store.list_jobs():
            add(store, job("a"))
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with running(tmp_path) as opened:
        yield opened


def made(client: TestClient, **asked: Any) -> dict[str, Any]:
    return client.post(SHARES, json=asked, headers=ANN).raise_for_status().json()


def token_of(share: dict[str, Any]) -> str:
    return share["link"].partition("#token=")[2]


def by(share: dict[str, Any]) -> dict[str, str]:
    return {"X-API-Key": token_of(share)}


def seconds(share: dict[str, Any]) -> float:
    return (datetime.fromisoformat(share["expires_at"]) - datetime.fromisoformat(share["made_at"])).total_seconds()


def test_a_link_is_told_once_and_listed_without_its_token(client: TestClient) -> None:
    first, second = made(client, note="for Bob"), made(client, expires_in_h=1)
    assert first["link"].startswith("/jobs/a/view#token=")
    assert (first["by"], first["note"], seconds(first)) == ("ann", "for Bob", 7 * 24 * HOUR)
    assert seconds(second) == HOUR
    listed = client.get(SHARES, headers=ANN)
    told = [{name: value for name, value in share.items() if name != "link"} for share in (first, second)]
    assert {share["id"]: share for share in listed.json()["shares"]} == {share["id"]: share for share in told}
    assert (listed.json()["most"], listed.json()["longest_h"]) == (MAX_SHARES, 720)
    for share in (first, second):
        assert token_of(share) not in listed.text
        assert hash_key(token_of(share)) not in listed.text
        assert client.get("/jobs/a", headers=by(share)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        *({"expires_in_h": hours} for hours in (0, -1, 1.5, "5", True, 366 * 24 + 1, [], 10**400)),
        *({"note": note} for note in ("x" * 201, "a\0b", "\ud800", 5, None)),
        {"days": 3},
        [],
        None,
    ],
    ids=repr,
)
def test_what_cannot_be_asked_is_refused(client: TestClient, body: Any) -> None:
    headers = ANN | {"Content-Type": "application/json"}
    told = client.post(SHARES, content=json.dumps(body), headers=headers)
    assert problem(told, 422)["type"] == "urn:mitoscan:invalid-request"
    assert client.get(SHARES, headers=ANN).json()["shares"] == []


def test_a_setting_bounds_how_long_a_link_is_valid(tmp_path: Path) -> None:
    with running(tmp_path, share_max_h=24) as client:
        assert seconds(made(client)) == 24 * HOUR
        told = client.post(SHARES, json={"expires_in_h": 25}, headers=ANN)
        assert told.status_code == 422
        assert "25 is more than the 24 hours of share_max_h" in told.json()["detail"]
        share = made(client, expires_in_h=24)
    with running(tmp_path, share_max_h=0) as client:
        told = client.post(SHARES, json={}, headers=ANN)
        assert problem(told, 409)["type"] == "urn:mitoscan:sharing-off"
        assert "share_max_h is 0" in told.json()["detail"]
        assert client.get("/jobs/a", headers=by(share)).status_code == 401
        assert "share" not in client.get("/me", headers=ANN).json()["may"]


def test_without_keys_a_link_would_protect_nothing(tmp_path: Path) -> None:
    with running(tmp_path, api_keys={}) as client:
        told = client.post(SHARES, json={})
        assert problem(told, 409)["type"] == "urn:mitoscan:sharing-off"
        assert "mitoscan keys add" in told.json()["detail"]
        listed = client.get(SHARES).json()
        assert (listed["shares"], listed["longest_h"]) == ([], 0)
        assert client.get("/me").json()["may"] == ["metrics", "read", "review", "submit", "every_group"]
    assert not (tmp_path / NAME).exists()


def test_all_processes_of_a_folder_know_a_link_until_its_secret_is_removed(tmp_path: Path) -> None:
    with running(tmp_path) as client, running(tmp_path) as another:
        share = made(client)
        assert another.get("/jobs/a", headers=by(share)).status_code == 200
        (tmp_path / NAME).unlink()
        for one in (client, another):
            told = one.get("/jobs/a", headers=by(share))
            assert problem(told, 401)["type"] == "urn:mitoscan:link-not-valid"
        assert client.get("/jobs/a", headers=by(made(another))).status_code == 200


def test_who_knows_secret_and_database_has_no_link(client: TestClient, tmp_path: Path) -> None:
    share = made(client)
    secret = (tmp_path / NAME).read_text()
    again = sign(Claims(share["id"], "a"), secret, made_at=0, expires_at=2e9)
    told = client.get("/jobs/a", headers={"X-API-Key": again})
    assert problem(told, 401)["type"] == "urn:mitoscan:link-not-valid"


def test_links_have_the_prefix_of_a_proxy(tmp_path: Path) -> None:
    with running(tmp_path, root_path="/mito") as client:
        assert made(client)["link"].startswith("/mito/jobs/a/view#token=")


def test_a_job_has_so_many_links(client: TestClient) -> None:
    for _ in range(MAX_SHARES):
        made(client)
    told = client.post(SHARES, json={}, headers=ANN)
    assert problem(told, 409)["type"] == "urn:mitoscan:shares-full"
    assert f"at most {MAX_SHARES}" in told.json()["detail"]


def test_a_purged_job_takes_its_links_along(client: TestClient) -> None:
    share = made(client)
    assert client.delete("/jobs/a?purge=true", headers={"X-API-Key": "root"}).status_code == 204
    told = client.get("/jobs/a", headers=by(share))
    assert problem(told, 401)["type"] == "urn:mitoscan:link-not-valid"


def test_who_makes_uses_and_revokes_a_link_is_written_down(
    client: TestClient, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    share = made(client)
    for path in ("/me", "/jobs/a", "/jobs/a", "/jobs/a/slide_files/0/0_0.jpeg", "/jobs/a/slide_files/0/1_0.jpeg"):
        client.get(path, headers=by(share))
    client.get("/jobs/b", headers=by(share))
    client.delete(f"{SHARES}/{share['id']}", headers=ANN)
    client.get("/jobs/a", headers=by(share))
    text = (tmp_path / "audit" / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["client"], line.get("event"), line["path"], line["status"]) for line in lines] == [
        ("ann", "share-made", SHARES, 201),
        (f"share:{share['id']}", "share-used", "/me", 200),
        (f"share:{share['id']}", None, "/jobs/a", 200),
        (f"share:{share['id']}", None, "/jobs/a", 200),
        (f"share:{share['id']}", None, "/jobs/a/slide_files", 404),
        (f"share:{share['id']}", None, "/jobs/b", 404),
        ("ann", "share-revoked", f"{SHARES}/{share['id']}", 204),
        (None, None, "/jobs/a", 401),
    ]
    assert {(line["share"], line["job"]) for line in lines[:-1]} == {(share["id"], "a")}
    secret = (tmp_path / NAME).read_text()
    for said in (text, "".join(capfd.readouterr())):
        assert token_of(share) not in said
        assert secret not in said
