"""Whom the service calls itself: those whose certificates are trusted, by the proxies that settings name."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from service.access.key_ring import load_keys
from service.access.keys import IdentityProviderError
from service.jobs.database import make_engine
from service.jobs.lifecycle import Job, JobOptions, ScanRequest
from service.jobs.migrating import migrate_store
from service.jobs.store import Store
from service.jobs.webhooks import WebhookFailedError, call_webhook
from service.settings import Settings
from service.settings.rules import Role
from service.slides_in.remote import SourceFetchError, open_url
from tests.service.local_servers import Issuer, LocalServer, WebhookReceiver

UNTRUSTED = "certificate is not trusted.*ca_bundle"


@dataclass(frozen=True)
class House:
    """Servers of a house that has a certificate authority of its own."""

    ca_bundle: Path
    slides: LocalServer
    issuer: Issuer
    receiver: WebhookReceiver
    #: Its certificate is one of another host.
    stranger: LocalServer

    def settings(self, data: Path, ca_bundle: Path | None) -> Settings:
        return Settings(
            data=data,
            ca_bundle=ca_bundle,
            oidc_issuer=self.issuer.address,
            url_prefixes=(f"{self.slides.address}/", f"{self.stranger.address}/"),
            webhook_prefixes=(f"{self.receiver.address}/hook/",),
            webhook_secret=WebhookReceiver.SECRET,
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    authority = trustme.CA()
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(bundle)

    def certified(host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        return context

    here = certified("127.0.0.1")
    slides, stranger = (
        LocalServer(lambda _request, _body: (200, b"slide", {}), tls) for tls in (here, certified("elsewhere.invalid"))
    )
    servers = House(bundle, slides, Issuer(tls=here), WebhookReceiver(here), stranger)
    yield servers
    for server in (slides, stranger, servers.issuer, servers.receiver):
        server.close()


def read(url: str, settings: Settings) -> bytes:
    async def whole() -> bytes:
        async with open_url(url, settings) as remote:
            return b"".join([chunk async for chunk in remote.chunks])

    return asyncio.run(whole())


def tell(settings: Settings, address: str) -> None:
    store = Store(make_engine(settings.store_url))
    migrate_store(store.engine)
    request = ScanRequest("uploads/a/slide.tif", "a", "slide.tif", "tiny", "b")
    job = Job("a", request, "local", 1.0, JobOptions(webhook=address))
    store.insert(job, enqueue=lambda _connection: None)
    try:
        call_webhook(store, settings, "a")
    finally:
        store.engine.dispose()


def test_one_setting_makes_an_authority_trusted_by_all_that_the_service_calls(house: House, tmp_path: Path) -> None:
    settings = house.settings(tmp_path, house.ca_bundle)
    assert read(f"{house.slides.address}/a.svs", settings) == b"slide"
    assert load_keys(settings)[0].identify(house.issuer.token(roles=["mitoscan-admin"])).role is Role.ADMIN
    tell(settings, f"{house.receiver.address}/hook/trusted")
    assert len(house.receiver.wait("/hook/trusted")) == 1


def test_without_it_each_fails_by_the_name_of_the_certificate_and_the_setting(house: House, tmp_path: Path) -> None:
    settings = house.settings(tmp_path, None)
    with pytest.raises(SourceFetchError, match=UNTRUSTED):
        read(f"{house.slides.address}/a.svs", settings)
    with pytest.raises(IdentityProviderError, match=UNTRUSTED):
        load_keys(settings)[0].identify(house.issuer.token(roles=["mitoscan-admin"]))
    with pytest.raises(WebhookFailedError, match=UNTRUSTED):
        tell(settings, f"{house.receiver.address}/hook/untrusted")
    assert "/hook/untrusted" not in [path for path, _, _ in house.receiver.told]


def test_a_trusted_authority_makes_no_other_host_trusted(house: House, tmp_path: Path) -> None:
    with pytest.raises(SourceFetchError, match="certificate is not trusted: IP address mismatch") as refused:
        read(f"{house.stranger.address}/a.svs", house.settings(tmp_path, house.ca_bundle))
    assert "ca_bundle" not in str(refused.value)


def test_proxies_are_those_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: object, _body: bytes) -> tuple[int, bytes, dict[str, str]]:
        asked.append(request.path)  # type: ignore[attr-defined]
        return 200, b"by proxy", {}

    proxy, slides = LocalServer(answer), LocalServer(lambda _request, _body: (200, b"direct", {}))
    prefixes = ("http://slides.invalid/", f"{slides.address}/")
    by_proxy = Settings(data=tmp_path, url_prefixes=prefixes, outbound_proxies={"*": proxy.address, "127.0.0.1": ""})
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    try:
        assert read("http://slides.invalid/a.svs", by_proxy) == b"by proxy"
        assert read(f"{slides.address}/a.svs", by_proxy) == b"direct"
        assert read(f"{slides.address}/a.svs", Settings(data=tmp_path, url_prefixes=prefixes)) == b"direct"
        assert asked == ["http://slides.invalid/a.svs"]
    finally:
        proxy.close()
        slides.close()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"ca_bundle": "no-such-file.pem"}, "no-such-file.pem is no file of certificates"),
        ({"ca_bundle": __file__}, "test_outbound.py is no file of certificates"),
        ({"outbound_authorization": {"https://pacs/": "Basic \u00e4"}}, "printable ASCII characters only"),
        ({"outbound_proxies": {"*": "proxy:3128"}}, "'proxy:3128' is not the http or https URL of a proxy"),
    ],
)
def test_what_cannot_be_used_is_refused_at_the_start(setting: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**setting)
