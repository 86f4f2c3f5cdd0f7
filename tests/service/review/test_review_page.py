"""The review in a real browser: by keyboard, saved as it is made, counted as the service counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server


@pytest.mark.slow
def test_ten_verdicts_by_keyboard_one_added_one_undone(server: Server, page, picture, tmp_path) -> None:
    job = scanned(server, png(make_field(78, height=400, width=480)))
    where = f"/jobs/{job['id']}"

    def counts() -> dict:
        return server.client.get(f"{where}/review").raise_for_status().json()["count"]

    def shown() -> int:
        page.wait_for_selector("#saved:text-is('saved')")
        return int(page.inner_text("#reviewed"))

    page.goto(f"{server.client.base_url}{where}/view")
    page.wait_for_selector("body[data-review=shown]")
    page.fill("#threshold", str(server.client.get(f"{where}/detections").json()["candidate_floor"]))
    assert int(page.inner_text("#reviewed")) == job["count"]
    page.fill("#reviewer", "Anna")
    page.click("#home")  # Keys belong to the slide again.
    page.keyboard.press("n")
    for key in "arraearara":
        page.keyboard.press(key)
    assert shown() == counts()["reviewed"]
    picture("review")
    page.keyboard.press("i")
    box = page.locator("#slide").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#list li[data-verdict=added]")
    assert shown() == counts()["reviewed"]
    before = counts()
    page.keyboard.press("z")
    page.wait_for_selector("#list li[data-verdict=added]", state="detached")
    assert shown() == counts()["reviewed"] == before["reviewed"] - 1
    marks = server.client.get(f"{where}/review").json()["marks"]
    assert len(marks) == 10
    assert {mark["by"] for mark in marks} == {"Anna"}
    page.reload()
    page.wait_for_selector("body[data-review=shown]")
    assert shown() == counts()["reviewed"]
    page.wait_for_selector("#list li[data-verdict=rejected]", state="attached")
    look_at_the_report(page, picture, tmp_path / "report.html", reviewed=counts()["reviewed"])


def look_at_the_report(page, picture, path: Path, *, reviewed: int) -> None:
    """The report that the page's button downloads."""
    with page.expect_download() as download:
        page.click("#review-files button:has-text('Report')")
    download.value.save_as(path)
    page.goto(path.as_uri())
    assert page.inner_text(".figure b") == str(reviewed)
    assert "Anna" in page.inner_text("body")
    picture("reviewed-report")


@pytest.mark.slow
def test_the_gallery_the_window_and_the_address_show_the_same(server: Server, page, picture) -> None:
    job = scanned(server, png(make_field(79, height=400, width=480)))
    page.goto(f"{server.client.base_url}/jobs/{job['id']}/view")
    page.wait_for_selector("body[data-review=shown]")
    page.click("#home")
    page.keyboard.press("g")
    page.wait_for_selector("#pictures button img[src]")
    assert page.locator("#pictures button").count() == min(len(job["detections"]), 120)
    page.keyboard.press("n")
    for key in "rra":
        page.keyboard.press(key)
    page.wait_for_selector("#saved:text-is('saved')")
    assert page.locator("#pictures button[data-verdict=rejected]").count() == 2
    picture("gallery")
    page.select_option("#gallery-order", "verdict")
    verdicts = [page.locator("#pictures button").nth(index).get_attribute("data-verdict") for index in range(4)]
    assert verdicts == ["accepted", "rejected", "rejected", ""]
    page.click("#gallery-close")
    page.click("#home")
    page.keyboard.press("w")
    page.wait_for_selector("#window-count:not([hidden])")
    # The window is all of so small a field: what it holds is what the review counts.
    inside = page.get_attribute("#window-count", "data-reviewed")
    reviewed = server.client.get(f"/jobs/{job['id']}/review").json()["count"]["reviewed"]
    assert inside == str(reviewed) == page.inner_text("#reviewed")
    page.fill("#threshold", "0.51")
    page.keyboard.press("4")
    page.wait_for_url("**#*window=2mm2*")
    page.wait_for_timeout(500)
    before = {name: page.inner_text(name) for name in ("#count", "#window-count", "#scale-text", "#reviewed")}
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("#window-count:not([hidden])")
    page.wait_for_timeout(500)
    assert {name: page.inner_text(name) for name in before} == before
    picture("window")
