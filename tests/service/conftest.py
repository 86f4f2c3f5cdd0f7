"""A real server on a real port, with a tiny model: real processes, real files, nothing faked."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from models import Model, ModelCard, save_model
from models.families import build_network
from service.api.routes.pages import VENDOR
from tests.conftest import require_system
from tests.service.local_servers import ObjectStore, WebhookReceiver

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PATIENCE_MS = 120_000  # of a browser
START_TIMEOUT = 180.0  # seconds; two slow cores start an interpreter with torch in about five
#: Workers speak often and are taken for dead soon, so that tests need not wait.
QUICK = {"MITOSCAN_HEARTBEAT_S": "0.5", "MITOSCAN_DEAD_AFTER_S": "3", "MITOSCAN_WORKER_NICE": "0"}
#: A line of the log about a request that had its answer.
ANSWERED_WELL = re.compile(r'"method": "GET".*"status": [23]\d\d')


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny untrained model, `tiny`."""
    folder = tmp_path_factory.mktemp("models")
    make_tiny_model(folder)
    return folder


def make_tiny_model(folder: Path) -> None:
    """Save an untrained model `tiny` into a folder of models, the same every time."""
    torch.manual_seed(0)
    arguments = {"stages": [[4, 3], [4, 3]], "patch_size": 21, "hidden": 8}
    card = ModelCard("tiny", "1", "dannet", arguments, patch_size=21, mpp=0.25, stride=4, threshold=0.5)
    save_model(folder / "tiny", Model(card, build_network("dannet", arguments).eval()))


def make_field(seed: int, height: int = 160, width: int = 200, *, noise: float = 8) -> np.ndarray:
    """A stained-looking field: pink noise with dark blots."""
    random = np.random.default_rng(seed)
    pixels = np.array([205, 130, 180]) + noise * random.normal(0, 1, (height, width, 3))
    rows, cols = np.mgrid[:height, :width]
    for row, col in random.uniform(0, 1, (12, 2)) * (height, width):
        blot = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 30)
        pixels -= blot[..., None] * np.array([130, 90, 60])
    return pixels.clip(0, 255).astype(np.uint8)


def make_large_field(seed: int, repeats: int = 13) -> np.ndarray:
    """A field of `repeats` x 200 px a side, that compresses well and takes seconds to scan at stride 1."""
    return np.tile(make_field(seed, 200, 200, noise=0), (repeats, repeats, 1))


def png(pixels: np.ndarray) -> bytes:
    """`pixels` as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def start_process(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process that ends with this one, however this one ends: an interrupted run of tests leaves no server behind."""
    end_with_parent = partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM)
    return subprocess.Popen(command, preexec_fn=end_with_parent, **options)


class Server:
    """`mitoscan serve` as a process of its own."""

    def __init__(self, folder: Path, models: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "MITOSCAN_MODELS": str(models),
            "MITOSCAN_DEFAULT_MODEL": "tiny",
            "OMP_NUM_THREADS": "1",
            **QUICK,
            **environment,
        }
        self._log = folder / "server.log"
        self.process: subprocess.Popen[bytes]
        self.client: httpx.Client

    def start(self, *, by_command: bool = False, wait_for_worker: bool = True) -> Server:
        """Start it as `mitoscan serve` does in the end, or, which takes a while longer, by that command."""
        data, options = str(self.folder / "data"), ["--host", "127.0.0.1", "--port", "0"]
        command = [sys.executable, "-m", "service"]
        if by_command:
            command = [sys.executable, "-m", "service.cli", "serve", *options, "--data", data]
        environment = self.environment | {"MITOSCAN_DATA": data, "MITOSCAN_PORT": "0"}
        known = len(self.log)
        with self._log.open("ab") as log:
            self.process = start_process(command, env=environment, stderr=log, stdout=log)
        match = _until(lambda: re.search(r"http://[\d.]+:(\d+)", self.log[known:]), self)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{match[1]}", timeout=60)
        if wait_for_worker:
            _until(lambda: self.client.get("/readyz").status_code == 200, self)
        return self

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(20)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def end_of_log(self) -> str:
        """What the server said last, less what it answered well: a test that waits asks hundreds of times."""
        said = [line for line in self.log.splitlines() if not ANSWERED_WELL.search(line)]
        return "\n".join(said[-60:])

    @property
    def worker_pids(self) -> list[int]:
        """Processes of the workers that this server has started."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in tasks for pid in children.read_text().split()]

    def kill_workers(self) -> None:
        self.kill(self.worker_pids)

    @staticmethod
    def kill(pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def submit(self, body: bytes, **query: str) -> str:
        """Id of a new job that is not waited for."""
        answer = self.client.post("/detect", content=body, params=query, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def wait(self, job_id: str, *states: str, timeout: float = 60) -> dict:
        """The job, once it is in one of `states` (by default a final one)."""
        wanted = states or ("SUCCEEDED", "FAILED", "CANCELLED")
        try:
            return _until(lambda: self._in_state(job_id, wanted), self, timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"{self.client.get(f'/jobs/{job_id}').json()} is not {wanted}") from error

    def _in_state(self, job_id: str, wanted: tuple[str, ...]) -> dict | None:
        job = self.client.get(f"/jobs/{job_id}").raise_for_status().json()
        return job if job["status"] in wanted else None

    def files(self, job_id: str) -> dict[str, str]:
        """SHA-256 of the reproducible files of a result."""
        names = ("detections.geojson", "detections.csv", "map.ome.tiff", "map.png")
        got = {name: self.client.get(f"/jobs/{job_id}/files/{name}").raise_for_status().content for name in names}
        return {name: hashlib.sha256(content).hexdigest() for name, content in got.items()}


def _until(condition, server: Server, *, timeout: float = START_TIMEOUT):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        assert server.process.poll() is None, server.end_of_log
        time.sleep(0.05)
    raise AssertionError(f"nothing within {timeout} s\n{server.end_of_log}")


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
def server(
    tmp_path_factory: pytest.TempPathFactory,
    models_folder: Path,
    object_store: ObjectStore,
    receiver: WebhookReceiver,
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
        MITOSCAN_URL_PREFIXES='["s3://slides/open/"]',
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
        pytest.skip("needs OpenSeadragon: npm ci in service/viewer")
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
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    # The map of a scan that has just ended: the browser itself notes the answer.
    assert [error for error in errors if "409 (Conflict)" not in error] == []


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
