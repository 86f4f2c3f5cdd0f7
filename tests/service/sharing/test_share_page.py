"""The page shares a job by a link; who comes by it sees the job, and no button that would be refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from service.access.keys import hash_key
from tests.service.conftest import PATIENCE_MS
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.results.test_accessible import AXE, complaints
from tests.service.review.test_review_page import look
from tests.service.server_process import Server

KEYS = {name: f"{role}:pathology:{hash_key(name)}" for name, role in (("ann", "submit"), ("eve", "read"))}
#: What only some may press.
CHANGING = ("#accept", "#reject", "#unsure", "#undo", "#add", "#reviewer")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Server]:
    environment = {"MITOSCAN_API_KEYS": json.dumps(KEYS), "MITOSCAN_MIN_FREE_BYTES": "1"}
    server = Server(tmp_path_factory.mktemp("sharing"), models_folder, **environment)
    with server.start():
        server.client.headers["X-API-Key"] = "ann"
        yield server


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[[], Page]]:
    """Opens pages that know nothing of each other, as of different people, and into which tests may put scripts."""
    contexts = []

    def open_page() -> Page:
        context = browser.new_context(bypass_csp=True, viewport={"width": 1280, "height": 800})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def shots(tmp_path: Path) -> Callable[[Page, str], None]:
    """Takes screenshots of a page, where somebody asks for them."""
    folder = Path(os.environ.get("MITOSCAN_SCREENSHOTS", tmp_path))

    def take(page: Page, name: str) -> None:
        look(page, lambda named: page.screenshot(path=folder / f"{named}.png"), name)
        page.set_viewport_size({"width": 1280, "height": 800})

    return take


def make_link(owner: Page, note: str) -> str:
    """The link, as the page copies it."""
    owner.fill("#share-days", "3")
    owner.fill("#share-note", note)
    owner.click("#share-form button")
    owner.wait_for_selector(f"#shares li:has-text('{note}')")
    assert "by ann" in owner.inner_text(f"#shares li:has-text('{note}')")
    owner.click("#share-copy")
    owner.wait_for_selector("#share-said:text-is('Copied.')")
    link = str(owner.evaluate("navigator.clipboard.readText()"))
    assert link == owner.input_value("#share-link")
    return link


def open_job(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("body[data-review=shown]")
    assert "token" not in page.url, "it is not left in the address"
    page.wait_for_selector("body[data-slide=open]")


def look_and_change_nothing(guest: Page) -> None:
    """Detections and report are there; no button that changes something is, and no key does."""
    assert guest.locator("#list li").count() > 0
    assert [name for name in (*CHANGING, "#share-open", "#cancel") if guest.is_visible(name)] == []
    assert guest.get_attribute("#scans", "href") is None
    asked: list[str] = []
    guest.on("request", lambda request: asked.append(request.method))
    for key in "narei":
        guest.keyboard.press(key)
    assert guest.get_attribute("body", "data-adding") is None
    with guest.expect_download():
        guest.click("#review-files button:has-text('Report')")
    assert set(asked) == {"GET"}


@pytest.mark.slow
def test_a_link_is_made_used_and_revoked(keyed: Server, new_page, shots) -> None:
    job = scanned(keyed, png(make_field(91)), name="slide-17.svs")
    view = f"{str(keyed.client.base_url).rstrip('/')}{job['links']['view']}"
    owner, guest = new_page(), new_page()
    said = {}
    open_job(owner, f"{view}#token=ann")
    assert [owner.is_visible(name) for name in CHANGING] == [True] * len(CHANGING)
    owner.click("#share-open")
    owner.wait_for_selector("#shares-none:text-is('None.')")
    link = make_link(owner, "for Bob")
    assert link.startswith(f"{view}#token=")
    for theme in ("light", "dark"):
        owner.emulate_media(color_scheme=theme)
        said[f"dialog, {theme}"] = complaints(owner)
    shots(owner, "share-dialog")

    open_job(guest, link)
    assert guest.inner_text("#name") == "slide-17.svs"
    look_and_change_nothing(guest)
    assert keyed.client.get(f"/jobs/{job['id']}/review").json()["marks"] == []
    for theme in ("light", "dark"):
        guest.emulate_media(color_scheme=theme)
        said[f"guest, {theme}"] = complaints(guest)
    shots(guest, "share-guest")

    owner.click("#shares li:has-text('for Bob') button")
    owner.wait_for_selector("#shares-none:text-is('None.')")
    assert owner.is_hidden("#share-made")
    guest.reload()
    guest.wait_for_selector("dialog .reason:has-text('the link has been revoked')")
    said["refused guest"] = complaints(guest)
    shots(guest, "share-refused")
    guest.goto(make_link(owner, "for Bob again"))  # The page is the same, and is loaded anew by itself.
    guest.wait_for_selector("body[data-review=shown]")
    assert guest.locator("dialog .reason").count() == 0
    assert AXE.is_file()
    assert [f"{name}: {one}" for name, found in said.items() for one in found] == []


@pytest.mark.slow
def test_pages_show_what_the_key_may(keyed: Server, new_page, shots) -> None:
    job = scanned(keyed, png(make_field(92)))
    address = str(keyed.client.base_url).rstrip("/")
    reader, guest = new_page(), new_page()
    open_job(reader, f"{address}{job['links']['view']}#token=eve")
    assert [name for name in (*CHANGING, "#share-open") if reader.is_visible(name)] == []
    assert reader.get_attribute("#scans", "href") is not None
    shots(reader, "share-reader")
    made = keyed.client.post(f"/jobs/{job['id']}/shares", json={}).raise_for_status().json()
    for page, token in ((reader, "eve"), (guest, made["link"].partition("#token=")[2])):
        page.goto(f"{address}/#token={token}")
        page.wait_for_selector("#model option", state="attached")
        page.wait_for_selector("#table" if page is reader else "#none:text-is('No scans yet.')")
        assert [name for name in ("#upload", "#retry", "#delete") if page.is_visible(name)] == []
        assert page.is_visible("#zip") == (page is reader)
    assert keyed.client.get(f"/jobs/{job['id']}/shares").json()["shares"][0]["id"] == made["id"]
