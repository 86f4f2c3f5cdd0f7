"""Two results side by side in a real browser: counts as the service gives them, the filter, keys, and the address."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.results.test_accessible import complaints
from tests.service.review.test_review_page import look
from tests.service.server_process import Server


@pytest.fixture(scope="module")
def two(server: Server) -> tuple[dict, dict]:
    """Two scans of one field: at every fourth position, and at every eighth."""
    field = png(make_field(601, 400, 500))
    return scanned(server, field, threshold="0.3"), scanned(server, field, threshold="0.3", stride="8")


def view_of(server: Server, job: dict) -> str:
    return f"{str(server.client.base_url).rstrip('/')}/jobs/{job['id']}/view"


def said_by(server: Server, two: tuple[dict, dict], **query: float) -> dict:
    params = {"with": two[1]["id"], **query}
    return server.client.get(f"/jobs/{two[0]['id']}/comparison", params=params).raise_for_status().json()


def line(found: dict) -> str:
    return f"both {found['both']}, only this {found['only_this']}, only the other {found['only_other']}"


def rows(page: Page) -> int:
    first = page.locator("#list li").first
    return int(first.get_attribute("aria-setsize") or 0) if page.locator("#list li").count() else 0


@pytest.mark.slow
def test_two_scans_are_compared(server: Server, page: Page, picture, two: tuple[dict, dict]) -> None:
    page.goto(view_of(server, two[0]))
    page.wait_for_selector("body[data-review=shown]")
    page.select_option("#compare-with", two[1]["id"])
    page.wait_for_selector("body[data-compared=shown]")
    found = said_by(server, two)
    assert found["only_this"] > 0
    assert found["only_other"] > 0
    assert page.inner_text("#compared") == line(found)
    page.click("#home")
    look(page, picture, "compared")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate("document.querySelector('#show-map').click()")
    both = picture("compared-both")
    page.keyboard.press("c")
    page.wait_for_function(
        "count => document.querySelector('#list li').ariaSetSize === count", arg=str(found["only_this"])
    )
    assert page.is_checked("#only-differences")
    assert np.abs(picture("compared-filter") - both).max() > 30
    differences = found["only_this"] + found["only_other"]
    assert page.inner_text("#difference") == f"{differences} differences"
    seen = []
    for number in range(1, differences + 1):
        page.keyboard.press("j")
        assert page.inner_text("#difference").startswith(f"{number} of {differences}, ")
        seen.append(page.inner_text("#difference").rpartition(", ")[2])
        is_chosen = page.locator("#list li[aria-current]").count() == 1
        assert is_chosen == (seen[-1] == "only this")
    assert (seen.count("only this"), seen.count("only the other")) == (found["only_this"], found["only_other"])
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.inner_text("#difference").startswith(f"{differences} of {differences}, ")
    follow_the_thresholds(server, page, two)


def follow_the_thresholds(server: Server, page: Page, two: tuple[dict, dict]) -> None:
    """Of both; then the same address shows the same again."""
    scores = [one["score"] for one in two[0]["detections"]]
    page.fill("#threshold", f"{scores[len(scores) // 2]:.2f}")
    threshold = float(page.input_value("#threshold"))
    page.wait_for_selector(f"#compared:text-is('{line(said_by(server, two, threshold=threshold))}')")
    page.fill("#other-threshold", "0.6")
    page.keyboard.press("Tab")
    found = said_by(server, two, threshold=threshold, other_threshold=0.6)
    page.wait_for_selector(f"#compared:text-is('{line(found)}')")
    page.wait_for_url(f"**#*with={two[1]['id']}&with_threshold=0.6&differ=1*")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("body[data-compared=shown]")
    page.wait_for_selector(f"#compared:text-is('{line(found)}')")
    assert page.is_checked("#only-differences")
    assert rows(page) == found["only_this"]
    page.select_option("#compare-with", "")
    page.wait_for_selector("#compare-choices", state="hidden")
    page.wait_for_url(lambda url: "with=" not in url)
    assert rows(page) == len([score for score in scores if score >= threshold])


def test_without_another_scan_there_is_nothing_to_compare(server: Server, page: Page) -> None:
    job = scanned(server, png(make_field(602)))
    page.goto(f"{view_of(server, job)}#with={'0' * 32}")
    page.wait_for_selector("body[data-review=shown]")
    assert page.is_hidden("#compare")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_comparison(server: Server, browser, two: tuple[dict, dict], theme: str) -> None:
    page = browser.new_page(bypass_csp=True, viewport={"width": 1280, "height": 800}, color_scheme=theme)
    page.goto(f"{view_of(server, two[0])}#with={two[1]['id']}&differ=1")
    page.wait_for_selector("body[data-compared=shown]")
    assert complaints(page) == []
    page.close()
