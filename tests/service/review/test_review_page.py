"""The review in a real browser: by keyboard, saved as it is made, counted as the service counts."""

from __future__ import annotations

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
    with page.expect_download() as download:
        page.click("#review-files button:has-text('Report')")
    report = tmp_path / "report.html"
    download.value.save_as(report)
    page.reload()
    page.wait_for_selector("body[data-review=shown]")
    assert shown() == counts()["reviewed"]
    page.wait_for_selector("#list li[data-verdict=rejected]", state="attached")
    expected = counts()
    page.goto(report.as_uri())
    assert page.inner_text(".figure b") == str(expected["reviewed"])
    assert "Anna" in page.inner_text("body")
    picture("reviewed-report")
