"""The fixtures of the service: a server that most tests share, those beside it, and a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from service.api.routes.pages import VENDOR
from tests.conftest import refuse, require_system
from tests.service.fields import make_field, make_tiny_model, png
from tests.service.local_servers import ObjectStore, WebhookReceiver
from tests.service.orthanc import Orthanc
from tests.service.server_process import Server

PATIENCE_MS = 120_000  # of a browser


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny untrained model, `tiny`."""
    folder = tmp_path_factory.mktemp("models")
    make_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 on a port of its own; its buckets are folders."""
    store = ObjectStore(tmp_path_factory.mktemp("buckets"))
    yield store
    store.close()


@pytest.fixture(scope="session")
def receiver() -> Iterator[WebhookReceiver]:
    """Who is told by webhooks."""
    running = WebhookReceiver()
    yield running
    running.close()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A DICOMweb server with an address of its own, which whoever needs it starts."""
    running = Orthanc(tmp_path_factory.mktemp("orthanc"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    models_folder: Path,
    object_store: ObjectStore,
    receiver: WebhookReceiver,
    orthanc: Orthanc,
) -> Iterator[Server]:
    """The server that most tests share."""
    folder = tmp_path_factory.mktemp("server")
    slides = folder / "slides"
    slides.mkdir()
    (slides / "field.png").write_bytes(png(make_field(1)))
    running = Server(
        folder,
        models_folder,
        MITOSCAN_SLIDE_FOLDERS=f'["{slides}"]',
        MITOSCAN_MAX_UPLOAD_BYTES="3000000",
        MITOSCAN_MIN_FREE_BYTES="1",
        MITOSCAN_REQUESTS_PER_MINUTE="1000000",
        MITOSCAN_URL_PREFIXES=json.dumps(["s3://slides/open/", f"{orthanc.address}/"]),
        MITOSCAN_STORE_PREFIXES=json.dumps([f"{orthanc.address}/", f"{receiver.address}/stow/"]),
        MITOSCAN_OUTBOUND_AUTHORIZATION=json.dumps({f"{orthanc.address}/": Orthanc.AUTHORIZATION}),
        MITOSCAN_WEBHOOK_PREFIXES=f'["{receiver.address}/hook/"]',
        MITOSCAN_WEBHOOK_SECRET=WebhookReceiver.SECRET,
        MITOSCAN_WEBHOOK_PAUSE_S="0.2",
        MITOSCAN_WEBHOOK_ATTEMPTS="3",
        **object_store.environment,
    ).start(by_command=True)
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> httpx.Client:
    return server.client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; not longer than a module, as meanwhile its event loop runs in this thread."""
    chromium = require_system("chromium")
    if not VENDOR["openseadragon.min.js"].is_file():
        refuse("needs OpenSeadragon: npm ci in service/viewer")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, which must end without an error in its console."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(f"{said.text} {said.location}") if said.type == "error" else None)
    yield page
    page.close()
    # The map of a scan that has just ended, the thumbnail of a slide that is gone: the browser itself notes the answer.
    expected = ("409 (Conflict)", "/thumbnail.jpeg")
    assert [error for error in errors if not any(answer in error for answer in expected)] == []


#: A page is still when so many screenshots, half a second apart, are the same; no more than so many are taken.
STILL_SHOTS, MOST_SHOTS = 4, 20


@pytest.fixture
def picture(page: Page, tmp_path: Path) -> Callable[[str], np.ndarray]:
    """Takes a screenshot, kept under that name in the folder MITOSCAN_SCREENSHOTS if there is one."""
    folder = Path(os.environ.get("MITOSCAN_SCREENSHOTS", tmp_path))

    def take(name: str) -> np.ndarray:
        page.wait_for_timeout(1000)  # Tiles and opacities fade.
        shots = [page.screenshot()]
        # On a busy machine they come late: taken is what stays, or, of a page that moves, the last of many.
        while len(shots) < STILL_SHOTS or (len(shots) < MOST_SHOTS and len(set(shots[-STILL_SHOTS:])) > 1):
            page.wait_for_timeout(500)
            shots.append(page.screenshot())
        (folder / f"{name}.png").write_bytes(shots[-1])
        return np.asarray(Image.open(folder / f"{name}.png").convert("RGB")).astype(int)

    return take
