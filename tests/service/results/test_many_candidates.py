"""A slide with more candidates than an answer, a list or a gallery holds: right counts, and a page that stays small."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from service.client import Client
from tests.service.fields import make_field, png
from tests.service.results.many import scanned_with
from tests.service.server_process import Server

COUNT = 10_500
ELEMENTS = "document.querySelectorAll('*').length"


@pytest.fixture(scope="module")
def many(server: Server) -> dict:
    glass = np.full((4000, 5000, 3), 243, np.uint8)  # Large, so that not all rings lie on each other, and soon scanned.
    glass[:400, :500] = make_field(81, 400, 500)
    return scanned_with(server, COUNT, png(glass))


def test_the_client_fetches_all_pages(server: Server, many: dict) -> None:
    first = server.client.get(f"/jobs/{many['id']}/detections", params={"threshold": 0}).json()
    assert (len(first["detections"]), first["total"]) == (10_000, COUNT)
    with Client(str(server.client.base_url)) as client:
        found = client.detections(many["id"], threshold=0)
    assert [one.id for one in found.detections[:10_000]] == [one["id"] for one in first["detections"]]
    assert len({one.id for one in found.detections}) == COUNT == found.total
    assert found.count == first["count"]


@pytest.mark.slow
def test_ten_thousand_candidates_are_counted_and_shown_in_parts(server: Server, page, many: dict) -> None:
    where = f"/jobs/{many['id']}"
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(f"{server.client.base_url}{where}/view")
    page.wait_for_selector("body[data-review=shown]")
    asked = [parse_qs(urlsplit(url).query) for url in sent if "/detections" in url]
    assert [int(query["offset"][0]) for query in asked] == list(range(0, COUNT, 2000))
    assert {query["limit"][0] for query in asked} == {"2000"}
    assert int(page.inner_text("#count")) == many["count"]
    for threshold in ("0.3", "0.8", "0.05", "0.45", "0.635", "0.12", "0.77", "0.05"):
        page.fill("#threshold", threshold)
        shown = server.client.get(f"{where}/detections", params={"threshold": threshold, "limit": 1}).json()
        assert int(page.inner_text("#count")) == shown["count"]
        assert page.get_attribute("#list li", "aria-setsize") == str(shown["total"])
    assert shown["total"] == COUNT
    assert page.locator("#list li").count() == 60
    page.click("#home")
    page.keyboard.press("p")  # The last one: it is in the list although the list has not been there yet.
    assert page.get_attribute("#list li[aria-current]", "aria-posinset") == str(COUNT)
    page.keyboard.press("n")
    assert page.get_attribute("#list li[aria-current]", "aria-posinset") == "1"
    page.keyboard.press("p")
    look_through_the_gallery(page)
    page.keyboard.press("r")
    page.keyboard.press("n")
    page.keyboard.press("a")
    page.wait_for_selector("#saved:text-is('saved')")
    assert page.inner_text("#gallery-place") == f"1 to 120 of {COUNT}"
    assert int(page.inner_text("#reviewed")) == server.client.get(f"{where}/review").json()["count"]["reviewed"]
    assert page.evaluate(ELEMENTS) < 1500


def look_through_the_gallery(page) -> None:
    """It opens where the last detection is, and turns to its neighbours."""
    page.keyboard.press("g")
    last = COUNT % 120
    assert page.inner_text("#gallery-place") == f"{COUNT - last + 1} to {COUNT} of {COUNT}"
    assert page.is_disabled("#gallery-next")
    assert page.locator("#pictures button").count() == last
    page.click("#gallery-previous")
    assert page.locator("#pictures button").count() == 120
    page.select_option("#gallery-order", "place")
    assert page.locator("#pictures button[aria-current]").count() == 1
    page.select_option("#gallery-order", "score")
    assert page.inner_text("#gallery-place") == f"{COUNT - last + 1} to {COUNT} of {COUNT}"
