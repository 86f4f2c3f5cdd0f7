"""The first page in a real browser: many slides sent at once, and the list of them searched, sorted, paged, deleted."""

from __future__ import annotations

import csv
import os
import time
import uuid
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.service.conftest import PATIENCE_MS
from tests.service.fields import make_field, png
from tests.service.server_process import Server

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
#: Jobs on a page of the list.
PAGE = 50


@pytest.mark.slow
def test_the_slides_of_a_case_are_sent_at_once_and_worked_through(
    server: Server, browser: Browser, page: Page, tmp_path: Path
) -> None:
    case = f"Case {uuid.uuid4().hex[:8]}"
    slides = {f"slide-{number}.png": png(make_field(150 + number)) for number in range(3)} | {"broken.png": b"\x89PNG"}
    page.goto(f"{server.client.base_url}/#search={case.upper()}")
    page.wait_for_selector("#none:text-is('No scan is like that.')")
    send_at_once(server, browser, slides, case, tmp_path)
    page.wait_for_selector("#jobs [data-state=SUCCEEDED] >> nth=2")
    judge(server, page.get_attribute("#jobs tbody tr:has-text('slide-1.png')", "data-job"))
    page.wait_for_selector("#jobs tr:has-text('slide-1.png') .reviewed:has-text('started')")
    look_at(page)
    sort_filter_and_reload(page)
    save_table_and_zip(page, tmp_path)
    delete_one(server, page, case)
    for number in range(PAGE):
        known = {"name": f"copy {number:02}", "case": case, "threshold": "0.3"}
        assert server.client.post("/detect", content=slides["slide-0.png"], params=known).json()["cached"]
    turn_pages(page)


def judge(server: Server, job_id: str) -> None:
    """One of its detections."""
    first = server.client.get(f"/jobs/{job_id}/detections").json()["detections"][0]["id"]
    verdict = server.client.put(f"/jobs/{job_id}/review/marks/{first}", json={"verdict": "accepted"})
    verdict.raise_for_status()


def send_at_once(server: Server, browser: Browser, slides: dict[str, bytes], case: str, folder: Path) -> None:
    """Some as files, some as a folder; one of them is no slide: it fails, by its name, and the others do not."""
    (folder / "week").mkdir()
    paths = [folder / name if number < 2 else folder / "week" / name for number, name in enumerate(slides)]
    for path, content in zip(paths, slides.values(), strict=True):
        path.write_bytes(content)
    sender = browser.new_page()
    sender.set_default_timeout(PATIENCE_MS)
    sender.goto(f"{server.client.base_url}")
    sender.wait_for_selector("#model option", state="attached")
    sender.fill("#case", case)
    sender.fill("#threshold", "0.3")
    held: list[Route] = []

    def hold(one: Route) -> None:
        held.append(one)

    sender.route("**/detect?*", hold)  # Or the folder would be sent before the files are chosen: two batches.
    sender.set_input_files("#folder", folder / "week")
    sender.set_input_files("#file", paths[:2])
    sender.wait_for_selector("#sending li >> nth=3")
    for one in held:
        one.continue_()
    sender.unroute("**/detect?*")
    sender.wait_for_selector("#message:text-is('3 of 4 uploaded, 1 failed')")
    assert sender.locator("#sending li").count() == 1
    assert "is not a TIFF" in sender.inner_text("#sending li.failed:has-text('broken.png')")
    shoot(sender, "uploading")
    sender.close()


def look_at(page: Page) -> None:
    """At every size and in both colours; nothing runs out of a phone's screen."""
    for size, name in ((DESKTOP, "worklist"), (PHONE, "worklist-phone")):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            shoot(page, f"{name}-{scheme}")
    assert (
        page.evaluate("(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('#wide'))")
        == 0
    )
    page.set_viewport_size(DESKTOP)


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("MITOSCAN_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def cells(page: Page, selector: str) -> list[str]:
    return page.locator(f"#jobs tbody {selector}").all_inner_texts()


def sort_filter_and_reload(page: Page) -> None:
    header = page.locator("th[data-sort=per_mm2]")
    header.locator("button").focus()
    for direction in ("descending", "ascending"):
        page.keyboard.press("Enter")
        page.wait_for_selector(f"th[data-sort=per_mm2][aria-sort={direction}]")
        wait_until_sorted(page, is_falling=direction == "descending")
    page.select_option("#only-review", "done")
    page.wait_for_selector("#none:text-is('No scan is like that.')")
    page.select_option("#only-review", "none")
    page.select_option("#only-status", "SUCCEEDED")
    page.wait_for_selector("#shown:text-is('1 to 2 of 2')")
    page.wait_for_url("**/#*status=SUCCEEDED*")
    before = cells(page, "th a"), page.url
    assert {"sort=per_mm2", "review=none"} <= set(page.url.partition("#")[2].split("&"))
    page.reload()
    page.wait_for_selector("#shown:text-is('1 to 2 of 2')")
    assert (cells(page, "th a"), page.url) == before
    assert header.get_attribute("aria-sort") == "ascending"
    assert (page.input_value("#only-review"), page.input_value("#only-status")) == ("none", "SUCCEEDED")
    page.select_option("#only-review", "")
    page.wait_for_selector("#shown:text-is('1 to 3 of 3')")


def wait_until_sorted(page: Page, *, is_falling: bool) -> None:
    """By a loop here: the page's own policy forbids Playwright's."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while (values := list(map(float, cells(page, ".per-mm2")))) != sorted(values, reverse=is_falling):
        assert time.monotonic() < deadline, values
        page.wait_for_timeout(50)
    assert len(set(values)) == 3


def save_table_and_zip(page: Page, folder: Path) -> None:
    """Of what is shown, and in its order."""
    with page.expect_download() as download:
        page.click("#csv")
    download.value.save_as(folder / "jobs.csv")
    with (folder / "jobs.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == cells(page, "th a")
    page.check("#all")
    page.wait_for_selector("#selected:text-is('3 selected')")
    assert page.is_disabled("#retry")
    assert page.is_disabled("#cancel")
    with page.expect_download() as download:
        page.click("#zip")
    download.value.save_as(folder / "results.zip")
    with zipfile.ZipFile(folder / "results.zip") as archive:
        assert sum(name.endswith("/run.json") for name in archive.namelist()) == 3


def delete_one(server: Server, page: Page, case: str) -> None:
    """Only after a question, which is asked with the name."""
    page.uncheck("#all")
    row = page.locator("#jobs tbody tr:has-text('slide-1.png')")
    row.locator("input").focus()
    page.keyboard.press("Space")
    for answer, left in (("keep", 3), ("delete", 2)):
        page.click("#delete")
        assert page.inner_text("#deleting-what") == "Delete slide-1.png?"
        page.click(f"#deleting button[value={answer}]")
        page.wait_for_selector(f"#shown:text-is('1 to {left} of {left}')")
        assert server.client.get("/jobs", params={"search": case}).json()["total"] == left
    page.wait_for_selector("#outcome:text-is('1 of 1 deleted')")
    assert row.count() == 0


def turn_pages(page: Page) -> None:
    total = PAGE + 2
    page.wait_for_selector(f"#shown:text-is('1 to {PAGE} of {total}')")
    first = cells(page, "th a")
    page.click("#next")
    page.wait_for_selector(f"#shown:text-is('{PAGE + 1} to {total} of {total}')")
    page.wait_for_url("**/#*cursor=*")
    last = cells(page, "th a")
    assert len({*first, *last}) == total
    page.reload()
    page.wait_for_selector(f"#shown:text-is('{PAGE + 1} to {total} of {total}')")
    assert cells(page, "th a") == last
    assert page.is_disabled("#next")
    page.click("#previous")
    page.wait_for_selector(f"#shown:text-is('1 to {PAGE} of {total}')")
    assert cells(page, "th a") == first
