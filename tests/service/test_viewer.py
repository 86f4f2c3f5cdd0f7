"""The pages in a real browser with a real slide: upload, watch the map grow, look at the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from service.routes.pages import VENDOR
from service.tiles import TILE_SIDE
from tests.conftest import require_system
from tests.service.conftest import Server, make_field, make_large_field, png


def test_tiles_of_all_levels_join_to_the_slide(server: Server) -> None:
    pixels = make_field(60, 700, 1100, noise=0)
    job = server.client.post("/detect", content=png(pixels), params={"stride": 8}).json()
    size = server.client.get(f"/jobs/{job['id']}/slide.json").json()
    assert (size["width"], size["height"], size["tile_side"]) == (1100, 700, TILE_SIDE)
    assert size["levels"] == 12  # 2^11 is the first power of two that is not smaller than the longest side.
    for downsample, level in ((1, 11), (2, 10), (4, 9)):
        whole = np.zeros((-(-700 // downsample), -(-1100 // downsample), 3), np.uint8)
        for row in range(-(-whole.shape[0] // TILE_SIDE)):
            for col in range(-(-whole.shape[1] // TILE_SIDE)):
                answer = server.client.get(f"/jobs/{job['id']}/slide_files/{level}/{col}_{row}.jpeg").raise_for_status()
                (server.folder / "tile.jpeg").write_bytes(answer.content)
                tile = np.asarray(Image.open(server.folder / "tile.jpeg"))
                top, left = row * TILE_SIDE, col * TILE_SIDE
                whole[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        expected = np.asarray(Image.fromarray(pixels).resize(whole.shape[1::-1], Image.Resampling.BOX))
        difference = np.abs(whole.astype(int) - expected)
        assert difference.mean() < 2, "more than JPEG does"


def test_tiles_outside_the_slide_are_not_found(client: httpx.Client) -> None:
    job = client.post("/detect", content=png(make_field(1))).json()
    for place in ("0/1_0", "99/0_0", "8/1_0", "8/0_1"):
        answer = client.get(f"/jobs/{job['id']}/slide_files/{place}.jpeg")
        assert answer.status_code in {404, 422}
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_map_of_a_running_job_grows(server: Server, tmp_path: Path) -> None:
    job_id = server.submit(png(make_large_field(61, 12)), stride="1")
    server.wait(job_id, "RUNNING")
    scanned = []
    while server.client.get(f"/jobs/{job_id}").json()["status"] == "RUNNING":
        answer = server.client.get(f"/jobs/{job_id}/live-map.png")
        if answer.status_code == 200:
            (tmp_path / "live.png").write_bytes(answer.content)
            scanned.append(int((np.asarray(Image.open(tmp_path / "live.png"))[..., 3] > 0).sum()))
    assert server.wait(job_id)["status"] == "SUCCEEDED"
    assert scanned == sorted(scanned)
    assert scanned[-1] > scanned[0]
    assert server.client.get(f"/jobs/{job_id}/live-map.png").status_code == 409


@pytest.fixture(scope="module")
def page() -> Iterator:
    """A page of a headless Chromium."""
    chromium = require_system("chromium")
    if not VENDOR["openseadragon.min.js"].is_file():
        pytest.skip("needs OpenSeadragon: npm ci in service/viewer")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        yield page
        browser.close()


def test_a_new_user_uploads_a_slide_and_looks_at_it(server: Server, page, example_slide: Path, tmp_path: Path) -> None:
    page.goto(str(server.client.base_url))
    page.wait_for_selector("#model option", state="attached")
    page.screenshot(path=tmp_path / "upload.png")
    page.set_input_files("#file", example_slide)
    page.wait_for_url("**/view")
    page.wait_for_selector("body[data-slide=open]")
    page.wait_for_selector("body[data-result=shown]", timeout=180_000)
    assert page.inner_text("#name") == example_slide.name
    page.wait_for_timeout(1500)  # Tiles fade in.
    page.screenshot(path=tmp_path / "viewer.png")
    at_half = int(page.inner_text("#count"))
    page.fill("#threshold", "0.05")
    assert int(page.inner_text("#count")) >= at_half
    assert "µm" in page.inner_text("#scale-text")
    page.keyboard.press("n")
    assert page.locator("#list li[aria-current=true]").count() == 1
    page.keyboard.press("t")
    page.wait_for_timeout(1500)
    page.screenshot(path=tmp_path / "detection.png")
    page.keyboard.press("m")
    assert page.input_value("#opacity") == "0"
    assert page.errors == []


def test_the_api_is_documented_in_the_browser(server: Server, page, tmp_path: Path) -> None:
    page.errors.clear()
    page.goto(f"{server.client.base_url}/docs")
    page.wait_for_selector("#operations-scan-detect_detect_post, .opblock")
    page.screenshot(path=tmp_path / "docs.png")
    assert page.errors == []
