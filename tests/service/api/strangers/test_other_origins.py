"""Web applications of other origins: those that the settings name call the API and frame its pages, others do not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from service.settings import Settings
from tests.service.conftest import PATIENCE_MS
from tests.service.fields import make_field, png
from tests.service.local_servers import LocalServer
from tests.service.server_process import Server

#: What such an application does: an upload in two pieces by tus, a scan of it, and its events to the end.
SENDS_AND_FOLLOWS = """
async ([service, slide]) => {
  const bytes = Uint8Array.from(atob(slide), (letter) => letter.charCodeAt(0)), tus = { "Tus-Resumable": "1.0.0" };
  const beginning = { method: "POST", headers: { ...tus, "Upload-Length": bytes.length } };
  const begun = await fetch(`${service}/uploads/tus`, beginning);
  const place = new URL(begun.headers.get("Location"), service);
  let offset = 0;
  while (offset < bytes.length) {
    const headers = { ...tus, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
    const sent = await fetch(place, { method: "PATCH", headers, body: bytes.slice(offset, offset + 5000) });
    offset = Number(sent.headers.get("Upload-Offset"));
  }
  const body = JSON.stringify({ source: { upload: place.pathname.split("/").pop() } });
  const asking = { "Content-Type": "application/json", Prefer: "respond-async" };
  const scan = await fetch(`${service}/detect`, { method: "POST", headers: asking, body });
  const job = new URL(scan.headers.get("Location"), service);
  const events = (await fetch(`${job}/events`)).body.pipeThrough(new TextDecoderStream()).getReader();
  for (let told = "";;) {
    const { value, done } = await events.read();
    if (value) told += value;
    if (done || told.includes("SUCCEEDED")) return told.includes("SUCCEEDED");
  }
}
"""


@pytest.fixture(scope="module")
def applications() -> Iterator[list[LocalServer]]:
    """Two web applications, each an empty page on a port of its own: another origin."""
    shown = b"<!doctype html><title>LIS</title>", {"Content-Type": "text/html"}
    running = [LocalServer(lambda *_: (200, *shown)) for _ in range(2)]
    yield running
    for one in running:
        one.close()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, models_folder: Path, applications: list[LocalServer]
) -> Iterator[Server]:
    allowed = f'["{applications[0].address}"]'
    folder = tmp_path_factory.mktemp("origins")
    with Server(
        folder, models_folder, MITOSCAN_CORS_ORIGINS=allowed, MITOSCAN_FRAME_ORIGINS=allowed
    ).start() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    page.close()


def address_of(service: Server) -> str:
    return str(service.client.base_url).rstrip("/")


def test_an_application_that_is_named_uploads_and_follows(
    page: Page, service: Server, applications: list[LocalServer]
) -> None:
    asked = [address_of(service), base64.b64encode(png(make_field(700))).decode()]
    page.goto(applications[0].address)
    assert page.evaluate(SENDS_AND_FOLLOWS, asked)
    page.goto(applications[1].address)
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(SENDS_AND_FOLLOWS, asked)


def test_pages_are_framed_by_whom_the_settings_name(
    page: Page, service: Server, applications: list[LocalServer]
) -> None:
    frame = f"""<iframe src="{address_of(service)}/"></iframe>"""
    page.goto(applications[0].address)
    page.evaluate("(frame) => { document.body.innerHTML = frame; }", frame)
    page.frame_locator("iframe").locator("#model option").first.wait_for(state="attached")
    page.goto(applications[1].address)
    with page.expect_event("console", lambda said: "frame-ancestors" in said.text):
        page.evaluate("(frame) => { document.body.innerHTML = frame; }", frame)


@pytest.mark.parametrize(
    "origin", ["https://lis.example/", "lis.example", "*", "https://a b", "https://x'; script-src *"]
)
def test_what_is_no_origin_is_refused_at_the_start(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ValueError, match="not the origin of a web page"):
        Settings(data=tmp_path, frame_origins=(origin,))
