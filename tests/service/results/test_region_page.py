"""A region is drawn in a real browser and scanned: by dragging, corner by corner, and by keyboard alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.service.api.regions import polygon
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.results.test_accessible import complaints
from tests.service.review.test_review_page import look
from tests.service.server_process import Server

WIDTH, HEIGHT = 640, 512


@pytest.fixture(scope="module")
def whole(server: Server) -> dict:
    return scanned(server, png(make_field(401, HEIGHT, WIDTH)), name="slide-9.svs", threshold="0.01")


@pytest.fixture
def viewer(server: Server, page: Page, whole: dict) -> Page:
    """The page of that job, one pixel of the slide on one of the screen, its middle in the middle."""
    page.goto(f"{str(server.client.base_url).rstrip('/')}/jobs/{whole['id']}/view#x=320&y=256&mpp=0.25")
    page.wait_for_selector("body[data-review=shown]")
    page.wait_for_selector("#zoom:text-is('0.25 µm/px')")
    return page


def middle_of(page: Page) -> tuple[float, float]:
    box = page.locator("#slide").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def corners_of(server: Server, page: Page) -> list[list[float]]:
    """Of the region of the job whose page is shown, once it has been scanned."""
    page.wait_for_url(re.compile("jobs/[0-9a-f]{32}/view"))
    job = server.wait(page.url.split("/jobs/")[1][:32])
    assert job["status"] == "SUCCEEDED"
    (ring,) = job["region"]["coordinates"]
    return ring


def scan_it(page: Page, old: str) -> None:
    page.wait_for_selector("#region-model option", state="attached")
    page.click("#region-scan")
    page.wait_for_url(lambda url: "/view" in url and old not in url)


@pytest.mark.slow
def test_a_rectangle_is_dragged_and_scanned(server: Server, viewer: Page, whole: dict, picture) -> None:
    x, y = middle_of(viewer)
    viewer.click("#region")
    assert viewer.get_attribute("#region", "aria-pressed") == "true"
    viewer.mouse.move(x - 200, y - 100)
    viewer.mouse.down()
    viewer.mouse.move(x, y, steps=4)
    viewer.mouse.move(x + 100, y + 150, steps=4)
    viewer.mouse.up()
    viewer.wait_for_selector("#region-scan:not([hidden])")
    assert viewer.inner_text("#region-said").startswith("Region of 0.0047")
    look(viewer, picture, "region")
    viewer.set_viewport_size({"width": 1280, "height": 800})
    viewer.fill("#region-stride", "8")
    scan_it(viewer, whole["id"])
    ring = corners_of(server, viewer)
    wanted = polygon(120, 156, 420, 406)["coordinates"][0]
    np.testing.assert_allclose(ring, wanted, atol=1)
    viewer.wait_for_selector("body[data-review=shown]")
    assert viewer.inner_text("#density").endswith("of tissue in the region")
    look(viewer, picture, "region-scanned")
    viewer.click("#parent a")
    viewer.wait_for_selector("#regions:not([hidden])")
    assert whole["id"] in viewer.url
    viewer.click("#regions summary")
    viewer.click("#regions li a")
    viewer.wait_for_selector("#parent a")
    assert whole["id"] not in viewer.url


@pytest.mark.slow
def test_a_polygon_is_clicked_and_closed_by_its_first_corner(server: Server, viewer: Page, whole: dict) -> None:
    x, y = middle_of(viewer)
    places = [(-150, -100), (120, -80), (160, 90), (-100, 130)]
    viewer.click("#region")
    for right, down in [*places, places[0]]:
        viewer.mouse.click(x + right, y + down)
        viewer.wait_for_timeout(400)  # Or it is a double click.
    viewer.wait_for_selector("#region-scan:not([hidden])")
    scan_it(viewer, whole["id"])
    ring = corners_of(server, viewer)
    assert len(ring) == 5
    np.testing.assert_allclose(ring[:-1], np.add(places, (320.5, 256.5)), atol=1)


@pytest.mark.slow
def test_a_region_is_drawn_by_keyboard_alone(server: Server, viewer: Page, whole: dict) -> None:
    viewer.keyboard.press("b")
    assert "Enter" in viewer.inner_text("#region-said")
    for steps in ("", "ArrowRight", "ArrowDown"):
        if steps:
            viewer.keyboard.press(steps)
            viewer.wait_for_timeout(700)
        viewer.keyboard.press("b")
    viewer.keyboard.press("Enter")
    viewer.wait_for_selector("#region-scan:not([hidden])")
    viewer.wait_for_selector("#region-model option", state="attached")
    assert viewer.evaluate("document.activeElement.id") == "region-scan"
    viewer.keyboard.press("Enter")
    viewer.wait_for_url(lambda url: "/view" in url and whole["id"] not in url)
    (a, b, c, again) = corners_of(server, viewer)
    assert a == again
    assert a[0] < b[0]
    assert b[0] == pytest.approx(c[0], abs=1)
    assert a[1] == pytest.approx(b[1], abs=1)
    assert b[1] < c[1]


def test_escape_ends_it_and_a_refusal_is_said(server: Server, viewer: Page, whole: dict) -> None:
    x, y = middle_of(viewer)
    jobs = server.client.get(whole["links"]["siblings"]).json()["jobs"]
    viewer.keyboard.press("b")
    viewer.mouse.click(x, y)
    viewer.keyboard.press("Escape")
    assert viewer.is_hidden("#region-panel")
    assert viewer.get_attribute("#region", "aria-pressed") == "false"
    viewer.keyboard.press("b")
    for right, down in [(0, 0), (100, 100), (100, 0), (0, 100)]:
        viewer.mouse.click(x + right, y + down)
        viewer.wait_for_timeout(400)
    viewer.keyboard.press("Enter")
    viewer.route("**/rescan", lambda route: route.fulfill(status=409, json={"detail": "it meets itself"}))
    viewer.wait_for_selector("#region-model option", state="attached")
    with viewer.expect_response("**/rescan"):
        viewer.click("#region-scan")
    viewer.wait_for_selector("#region-said:text('meets itself')")
    assert whole["id"] in viewer.url
    assert server.client.get(whole["links"]["siblings"]).json()["jobs"] == jobs
    viewer.keyboard.press("l")
    assert viewer.is_hidden("#region-panel"), "one tool at a time"


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_panel(server: Server, browser, whole: dict, theme: str) -> None:
    page = browser.new_page(bypass_csp=True, viewport={"width": 1280, "height": 800}, color_scheme=theme)
    answer = server.client.post(f"/jobs/{whole['id']}/rescan", json={"region": polygon(0, 0, 320, 320)})
    part = server.wait(answer.json()["id"])
    for job in (whole, part):
        page.goto(f"{str(server.client.base_url).rstrip('/')}/jobs/{job['id']}/view")
        page.wait_for_selector("body[data-review=shown]")
        x, y = middle_of(page)
        page.click("#region")
        page.mouse.move(x - 50, y - 50)
        page.mouse.down()
        page.mouse.move(x + 50, y + 50, steps=3)
        page.mouse.up()
        page.wait_for_selector("#region-model option", state="attached")
        assert complaints(page) == []
    page.close()
