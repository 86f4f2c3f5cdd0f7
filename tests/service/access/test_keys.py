"""Keys: off on loopback, on elsewhere; each client sees its own jobs; a role allows what it says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from service.access.key_ring import KeyRing, load_keys
from service.access.keys import IdentityProviderError, NotAuthenticatedError, hash_key
from service.settings import Settings
from service.settings.rules import Role
from tests.service.fields import make_field, png
from tests.service.local_servers import Issuer
from tests.service.server_process import Server

ROLES = {"ann": "submit", "bob": "submit", "eve": "read", "root": "admin"}
KEYS = {name: f"{role}:{hash_key(name + '-key')}" for name, role in ROLES.items()}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, models_folder: Path, issuer: Issuer) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("keys")
    environment = {"MITOSCAN_API_KEYS": json.dumps(KEYS), "MITOSCAN_WORKERS": "0", "MITOSCAN_MIN_FREE_BYTES": "0"}
    environment["MITOSCAN_OIDC_ISSUER"] = issuer.address
    with Server(folder, models_folder, **environment).start(wait_for_worker=False) as server:
        yield server.client


def test_nothing_is_told_without_a_key(browser: httpx.Client) -> None:
    for method, path in (
        ("GET", "/jobs"),
        ("GET", "/models"),
        ("POST", "/detect"),
        ("GET", "/metrics"),
        ("GET", "/jobs/x"),
        ("GET", "/jobs.csv"),
        ("GET", "/jobs.zip?id=x"),
        ("GET", "/jobs/x/files.zip"),
    ):
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YQ=="}):
            answer = browser.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert "www-authenticate" in answer.headers
    assert browser.get("/healthz").status_code == 200
    assert browser.get("/").status_code == 200
    assert browser.get("/openapi.json").json()["security"] == [{"key": []}, {"bearer": []}]


def test_each_client_sees_its_own_jobs(browser: httpx.Client) -> None:
    body = png(make_field(1))
    asked = browser.post("/detect", content=body, headers={"X-API-Key": "ann-key", "Prefer": "respond-async"})
    assert asked.status_code == 202
    path = asked.headers["location"]
    assert browser.get(path, headers={"Authorization": "Bearer ann-key"}).status_code == 200
    for other in ("bob-key", "eve-key"):
        assert browser.get(path, headers={"X-API-Key": other}).status_code == 404
        assert browser.delete(path, headers={"X-API-Key": other}).status_code == 404
        listed = browser.get("/jobs", headers={"X-API-Key": other}).json()
        assert (listed["jobs"], listed["total"]) == ([], 0)
        assert path.rpartition("/")[2] not in browser.get("/jobs.csv", headers={"X-API-Key": other}).text
        for zipped in (f"/jobs.zip?id={path.rpartition('/')[2]}", f"{path}/files.zip"):
            assert browser.get(zipped, headers={"X-API-Key": other}).status_code == 404
    for who in ("ann-key", "root-key"):
        assert browser.get(path, headers={"X-API-Key": who}).status_code == 200
        assert path.rpartition("/")[2] in browser.get("/jobs.csv", headers={"X-API-Key": who}).text
        assert browser.get(f"{path}/files.zip", headers={"X-API-Key": who}).status_code == 409, "not finished"


def test_a_role_allows_what_it_says(browser: httpx.Client) -> None:
    assert browser.post("/detect", content=b"x", headers={"X-API-Key": "eve-key"}).status_code == 403
    assert browser.get("/metrics", headers={"X-API-Key": "ann-key"}).status_code == 403
    assert browser.get("/metrics", headers={"X-API-Key": "root-key"}).status_code == 200


def test_a_token_of_the_issuer_stands_for_its_role(browser: httpx.Client, issuer: Issuer) -> None:
    def ask(method: str, path: str, **claims: object) -> int:
        token = issuer.token(**claims)
        return browser.request(method, path, headers={"Authorization": f"Bearer {token}"}).status_code

    assert ask("GET", "/jobs", roles=["mitoscan-read"]) == 200
    assert ask("POST", "/detect", roles=["mitoscan-read"]) == 403
    assert ask("POST", "/detect", roles=["other", "mitoscan-submit"]) == 400  # An empty body: the token is fine.
    assert ask("GET", "/metrics", roles="mitoscan-read mitoscan-admin") == 200
    asked = browser.post(
        "/detect",
        content=png(make_field(2)),
        headers={"Authorization": f"Bearer {issuer.token(roles=['mitoscan-submit'])}", "Prefer": "respond-async"},
    )
    assert asked.status_code == 202
    assert ask("GET", asked.headers["location"], roles=["mitoscan-read"]) == 200
    assert ask("GET", asked.headers["location"], roles=["mitoscan-read"], sub="someone else") == 404


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"aud": "another service"}, 401),
        ({"aud": None}, 401),
        ({"iss": "https://evil"}, 401),
        ({"sub": None}, 401),
        ({"nbf": 4_000_000_000}, 401),
        ({"key": "another"}, 401),
        ({"roles": []}, 403),
        ({"roles": ["root"]}, 403),
        ({"roles": None}, 403),
    ],
)
def test_other_tokens_are_refused(browser: httpx.Client, issuer: Issuer, claims: dict, status: int) -> None:
    changed = dict(claims)
    if changed.pop("key", None):
        changed["key"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = issuer.token(**{"roles": ["mitoscan-admin"]} | changed)
    answer = browser.get("/jobs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_without_a_signature_is_refused(browser: httpx.Client, issuer: Issuer) -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"1"}').rstrip(b"=").decode()
    body = issuer.token(roles=["mitoscan-admin"]).split(".")[1]
    for token in (f"{head}.{body}.", "a.b.c", "." * 2, "x" * 9000 + "..", "\u00e9.b.c"):
        answer = browser.get("/jobs", headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401


def test_an_issuer_that_is_away_is_a_reason_to_come_back() -> None:
    away = Issuer()
    settings = Settings(oidc_issuer=away.address, data=Path("unused"))
    ring, _ = load_keys(settings)
    assert not ring.is_open
    away.close()
    with pytest.raises(IdentityProviderError):
        ring.identify(away.token(roles=["mitoscan-admin"]))


def test_a_network_address_without_keys_makes_one_and_keeps_its_hash(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, host="0.0.0.0")
    ring, key = load_keys(settings)
    assert key is not None
    assert ring.identify(key).role is Role.ADMIN
    again, shown = load_keys(settings)
    assert shown is None
    assert again.identify(key).name == "admin"
    assert all(key not in path.read_text() for path in tmp_path.iterdir())
    with pytest.raises(NotAuthenticatedError):
        again.identify("guess")


def test_loopback_needs_no_key(tmp_path: Path) -> None:
    ring, key = load_keys(Settings(data=tmp_path))
    assert (ring.is_open, key) == (True, None)
    assert ring.identify(None).role is Role.ADMIN


def test_too_many_jobs_and_requests_are_told_when_to_come_back(tmp_path: Path, models_folder: Path) -> None:
    limits = {"MITOSCAN_MAX_CLIENT_JOBS": "2", "MITOSCAN_REQUESTS_PER_MINUTE": "10", "MITOSCAN_WORKERS": "0"}
    headers = {"Prefer": "respond-async"}
    with Server(tmp_path, models_folder, **limits).start(wait_for_worker=False) as server:
        answers = [server.client.post("/detect", content=png(make_field(seed)), headers=headers) for seed in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert "retry-after" in answers[-1].headers
        assert 429 in {server.client.get("/models").status_code for _ in range(20)}
        assert server.client.get("/healthz").status_code == 200


def test_an_empty_ring_is_open() -> None:
    assert KeyRing({}).is_open
