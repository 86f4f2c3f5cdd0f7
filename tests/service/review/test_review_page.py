"""The review in a real browser, from the upload to the report: counted at each step as the service counts."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import APIResponse, Route

from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.mark.slow
def test_a_slide_is_uploaded_reviewed_and_its_report_printed(server: Server, page, picture, tmp_path) -> None:
    slide = tmp_path / "walk.png"
    slide.write_bytes(png(two_corners()))
    page.goto(str(server.client.base_url))
    page.wait_for_selector("#model option", state="attached")
    look(page, picture, "upload")
    page.set_input_files("#file", slide)
    page.wait_for_url("**/view*")
    page.wait_for_selector("body[data-review=shown]")
    walk = Walk(server, page)
    look(page, picture, "viewer")
    judge_ten(walk)
    look(page, picture, "review")
    add_one_and_undo(walk)
    reject_one(walk)
    move_the_window(walk)
    look(page, picture, "window")
    reload_by_the_address(walk)
    print_the_report(walk, tmp_path / "report.html", tmp_path / "report.pdf")
    look(page, picture, "reviewed-report")


def two_corners() -> np.ndarray:
    """2.8 mm2 of glass at 0.25 um/px, with tissue in two corners: a window of 2 mm2 holds one or the other."""
    pixels = np.full((6400, 7000, 3), 243, np.uint8)
    pixels[:400, :480] = make_field(78, 400, 480)
    pixels[-400:, -480:] = make_field(77, 400, 480)
    return pixels


def look(page, picture, name: str) -> None:
    """Screenshots on a desk and on a phone, light and dark, where somebody asks for them."""
    if "MITOSCAN_SCREENSHOTS" not in os.environ:
        return
    for device, size in (("phone", PHONE), ("desktop", DESKTOP)):
        page.set_viewport_size(size)
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            picture(f"{name}-{device}-{theme}")


class Walk:
    """A job's page, and what the service says of the job."""

    def __init__(self, server: Server, page) -> None:
        self.client, self.page = server.client, page
        self.where = urlsplit(page.url).path.removesuffix("/view")
        box = page.locator("#slide").bounding_box()
        self.middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    @property
    def review(self) -> dict:
        return self.client.get(f"{self.where}/review").raise_for_status().json()

    def figures(self) -> int:
        """Figures after the review: the page and the service say the same."""
        self.page.wait_for_selector("#saved:text-is('saved')")
        shown, count = int(self.page.inner_text("#reviewed")), self.review["count"]
        assert shown == count["reviewed"]
        assert f"{count['model']} by the model" in self.page.inner_text("#open")
        assert f"{count['open']} not judged" in self.page.inner_text("#open")
        return shown


@pytest.mark.slow
def test_an_answer_from_before_a_verdict_takes_it_off_no_page(server: Server, page) -> None:
    job = server.client.post("/detect", content=png(make_field(811))).raise_for_status().json()
    page.goto(f"{str(server.client.base_url).rstrip('/')}/jobs/{job['id']}/view")
    page.wait_for_selector("body[data-review=shown]")
    held: list[tuple[Route, APIResponse]] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page.route("**/review?*", hold_first)
    page.fill("#reviewer", "Anna")
    page.click("#home")  # The page asks for Anna's review, and is answered late.
    while not held:
        page.wait_for_timeout(50)
    page.keyboard.press("n")
    page.keyboard.press("a")
    page.wait_for_selector("#saved:text-is('saved')")
    route, answer = held[0]
    with page.expect_response(lambda response: "/review?" in response.url):
        route.fulfill(response=answer)
    page.wait_for_timeout(200)
    walk = Walk(server, page)
    assert len(walk.review["marks"]) == 1
    walk.figures()
    page.unroute_all(behavior="wait")


def judge_ten(walk: Walk) -> None:
    """By keyboard alone, from the lowest threshold."""
    page, job = walk.page, walk.client.get(walk.where).json()
    assert int(page.inner_text("#reviewed")) == int(page.inner_text("#count")) == job["count"]
    lowest = walk.client.get(f"{walk.where}/detections", params={"threshold": 0}).json()
    page.fill("#threshold", str(lowest["candidate_floor"]))
    assert int(page.inner_text("#count")) == lowest["count"]
    page.fill("#reviewer", "Anna")
    page.click("#home")  # Keys belong to the slide again.
    page.keyboard.press("n")
    for key in "arraearara":
        page.keyboard.press(key)
    walk.figures()
    marks = walk.review["marks"]
    assert len(marks) == 10
    assert {mark["by"] for mark in marks} == {"Anna"}
    assert [mark["verdict"] for mark in marks].count("rejected") == 4


def add_one_and_undo(walk: Walk) -> None:
    """A figure is added, taken back, and added again."""
    before = walk.figures()
    for key, after in (("i", before + 1), ("z", before), ("i", before + 1)):
        walk.page.keyboard.press(key)
        if key == "i":
            walk.page.mouse.click(*walk.middle)
        walk.page.wait_for_selector(f"#reviewed:text-is('{after}')")
        assert walk.figures() == after


def reject_one(walk: Walk) -> None:
    """One that the model counts, chosen in the list."""
    before = walk.figures()
    walk.page.click("#reset")
    walk.page.locator("#list li[data-verdict='']:not(:has-text('at the edge')) button").first.click()
    walk.page.keyboard.press("r")
    walk.page.wait_for_selector(f"#reviewed:text-is('{before - 1}')")
    assert walk.figures() == before - 1


def move_the_window(walk: Walk) -> None:
    """Placed in the middle, then moved into a corner with the pointer."""
    page, (x, y) = walk.page, walk.middle
    page.click("#home")
    page.keyboard.press("w")
    page.wait_for_url("**#*window=2mm2*")
    first = window_of(page.url)
    page.keyboard.down("Shift")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 200, y - 200)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_function(
        "first => ![null, first].includes(new URLSearchParams(location.hash.slice(1)).get('window'))", arg=first
    )
    inside = figures_within(walk, window_of(page.url))
    assert 0 < inside < walk.figures(), "the other corner lies outside"
    assert page.get_attribute("#window-count", "data-reviewed") == str(inside)


def window_of(address: str) -> str:
    return parse_qs(urlsplit(address).fragment)["window"][0]


def figures_within(walk: Walk, window: str) -> int:
    """Figures in a square of 2 mm2, which stays on the slide, counted from the service's table."""
    table = walk.client.get(f"{walk.where}/files/detections.reviewed.csv").raise_for_status().text
    side = round(math.sqrt(2) * 1000 / 0.25)
    centre = [float(place) for place in window.split(":")[1:]]
    starts = [min(max(at - side / 2, 0), size - side) for at, size in zip(centre, (7000, 6400), strict=True)]
    rows = csv.DictReader(io.StringIO(table))
    return sum(
        all(start <= float(row[axis]) < start + side for start, axis in zip(starts, "xy", strict=True)) for row in rows
    )


def reload_by_the_address(walk: Walk) -> None:
    """The same link shows the same, turned as it was."""
    page = walk.page
    page.click("#home")
    page.keyboard.press(".")
    page.keyboard.press("4")
    page.wait_for_url(re.compile("#.*mpp=0.250.*turn=15"))
    shown = ("#count", "#reviewed", "#window-count", "#threshold-value", "#scale-text", "#zoom")
    before, address = {name: page.inner_text(name) for name in shown}, page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("#window-count:not([hidden])")
    page.wait_for_function("before => document.querySelector('#zoom').textContent === before", arg=before["#zoom"])
    assert {name: page.inner_text(name) for name in shown} == before
    page.keyboard.press(".")
    page.wait_for_url("**#*turn=30*")
    walk.figures()


def print_the_report(walk: Walk, path: Path, printed: Path) -> None:
    """The report that the page's button downloads."""
    page, reviewed = walk.page, walk.figures()
    with page.expect_download() as download:
        page.click("#review-files button:has-text('Report')")
    download.value.save_as(path)
    page.goto(path.as_uri())
    assert page.inner_text(".figure b") == str(reviewed)
    assert "Anna" in page.inner_text("body")
    page.pdf(path=printed)
    assert printed.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_gallery_shows_what_was_judged(server: Server, page, picture) -> None:
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
