"""Tokens: the group that a claim names, and an identity provider that strangers cannot have asked at will."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.access import oidc
from service.access.key_ring import KeyRing, load_keys
from service.access.keys import Client, IdentityProviderError, NotAllowedError, NotAuthenticatedError
from service.settings import Settings
from service.settings.rules import Role
from tests.service.local_servers import Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    yield running
    running.close()


def ring_for(issuer: Issuer, folder: Path, **settings: str) -> KeyRing:
    return load_keys(Settings(data=folder, oidc_issuer=issuer.address, **settings))[0]  # type: ignore[arg-type]


def test_a_claim_names_the_group(issuer: Issuer, tmp_path: Path) -> None:
    ring = ring_for(issuer, tmp_path, oidc_group_claim="department")
    for said in ("pathology", ["pathology"]):
        token = issuer.token(roles=["mitoscan-review"], department=said)
        assert ring.identify(token) == Client("oidc:dora", Role.REVIEW, "pathology")
    for said in (None, [], ["pathology", "dermatology"], "", "x" * 200):
        with pytest.raises(NotAllowedError, match="oidc_group_claim"):
            ring.identify(issuer.token(roles=["mitoscan-review"], department=said))


def test_without_that_claim_each_subject_is_a_group(issuer: Issuer, tmp_path: Path) -> None:
    ring = ring_for(issuer, tmp_path)
    roles = ["mitoscan-read", "mitoscan-submit", "mitoscan-review"]
    assert ring.identify(issuer.token(roles=roles)) == Client("oidc:dora", Role.SUBMIT, "oidc:dora")


def test_key_ids_that_are_made_up_do_not_reach_the_provider(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(oidc.time, "monotonic", lambda: now)
    ring = ring_for(issuer, tmp_path)
    for number in range(20):
        with pytest.raises(NotAuthenticatedError):
            ring.identify(issuer.token(kid=f"made-up-{number}", roles=["mitoscan-read"]))
    assert issuer.asked == 1, "also the first of them"
    assert ring.identify(issuer.token(roles=["mitoscan-read"])).name == "oidc:dora"
    now += oidc.UNKNOWN_KEY_PAUSE
    for number in range(20):
        with pytest.raises(NotAuthenticatedError):
            ring.identify(issuer.token(kid=f"made-up-{number}", roles=["mitoscan-read"]))
    assert issuer.asked == 2
    issuer.close()
    now += oidc.UNKNOWN_KEY_PAUSE
    with pytest.raises(IdentityProviderError):
        ring.identify(issuer.token(kid="made-up", roles=["mitoscan-read"]))
    assert ring.identify(issuer.token(roles=["mitoscan-read"])).name == "oidc:dora", "its keys are known"


def test_a_provider_that_calls_itself_otherwise_is_not_believed(tmp_path: Path) -> None:
    evil = Issuer(name="https://another.example")
    try:
        with pytest.raises(IdentityProviderError, match=r"https://another\.example.*oidc_issuer"):
            ring_for(evil, tmp_path).identify(evil.token(roles=["mitoscan-admin"]))
        assert evil.asked == 0
    finally:
        evil.close()


@pytest.mark.parametrize("url", ["http://id.example", "id.example", "", "https://", "file:///etc", "https://[x"])
def test_a_provider_is_reached_by_https(url: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        Settings(oidc_issuer=url)
