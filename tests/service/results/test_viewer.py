"""The pages in a real browser with a real slide: upload, watch the map grow, look at the result."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from service.results.live_map import VEIL
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid
from tests.service.fields import make_field, make_large_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server


def test_the_map_of_a_running_job_grows(server: Server) -> None:
    job_id = server.submit(png(make_large_field(61, 12)), stride="1")
    server.wait(job_id, "RUNNING")
    scanned = []
    while server.client.get(f"/jobs/{job_id}").json()["status"] == "RUNNING":
        answer = server.client.get(f"/jobs/{job_id}/live-map.png")
        if answer.status_code == 200:
            picture = np.asarray(Image.open(io.BytesIO(answer.content)))
            scanned.append(int((picture != VEIL).any(axis=-1).sum()))
    assert server.wait(job_id)["status"] == "SUCCEEDED"
    assert scanned == sorted(scanned)
    assert scanned[-1] > scanned[0]
    assert server.client.get(f"/jobs/{job_id}/live-map.png").status_code == 409


def test_what_could_not_be_read_is_a_region(server: Server, holed_slide: Path) -> None:
    job = scanned(server, holed_slide.read_bytes(), stride="4")
    assert job["area_mm2"]["unreadable"] > 0
    regions = server.client.get(f"/jobs/{job['id']}/regions").raise_for_status().json()["features"]
    (left, top), (right, bottom) = lost_corners(regions)
    # A cell of the scan is lost with any pixel that a patch in it sees.
    assert (left, top) == pytest.approx((128, 128), abs=64)
    assert (right, bottom) == pytest.approx((384, 256), abs=64)
    assert {feature["properties"]["name"] for feature in regions} >= {"Tissue", "Hotspot 1"}


def lost_corners(regions: list[dict]) -> tuple[list[int], list[int]]:
    """Least and largest x and y of the areas that could not be read."""
    lost = [feature["geometry"] for feature in regions if feature["properties"]["name"] == "Unreadable"]
    corners = np.array([corner for geometry in lost for corner in geometry["coordinates"][0]])
    return corners.min(axis=0).tolist(), corners.max(axis=0).tolist()


@pytest.mark.slow
def test_a_new_user_uploads_a_slide_and_looks_at_it(server: Server, page, picture, example_slide: Path) -> None:
    page.goto(f"{server.client.base_url}")
    page.wait_for_selector("#model option", state="attached")
    picture("upload")
    page.fill("#threshold", "0.3")  # Not known from an earlier scan: there is something to watch.
    page.set_input_files("#file", example_slide)
    page.wait_for_url("**/view")
    page.wait_for_selector("body[data-slide=open]")
    page.wait_for_selector("body[data-live=shown], body[data-result=shown]")
    picture("running")
    page.wait_for_selector("body[data-result=shown]")
    assert page.inner_text("#name") == example_slide.name
    light = picture("viewer")
    counted = int(page.inner_text("#count"))
    page.fill("#threshold", "0.05")
    assert int(page.inner_text("#count")) >= counted
    assert page.inner_text("#scale-text").endswith("µm")
    assert "BSD-3-Clause" in page.inner_text("footer")
    page.keyboard.press("t")
    dark = picture("dark")
    assert light[10, 400].min() > 200 > 60 > dark[10, 400].max(), "what is beside the slide is dark"
    assert light[400, 10].min() > 200 > 60 > dark[400, 10].max(), "what is beside the slide is dark"


def test_a_folder_is_uploaded_as_one_slide(server: Server, page, tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    write_dicom_series(tmp_path / "series", pyramid(make_field(66, 512, 384), 2))
    page.goto(f"{server.client.base_url}")
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#folder", tmp_path / "series")
    page.wait_for_url("**/view")
    page.wait_for_selector("body[data-result=shown]")
    assert page.inner_text("#name") == "series"


#: The page takes WebGL where there is a GPU: here this browser says that it has one.
WITH_WEBGL = """const getParameter = WebGLRenderingContext.prototype.getParameter;
WebGLRenderingContext.prototype.getParameter = function (name) {
  return name === 0x9246 ? "GPU" : getParameter.call(this, name);
};"""


def test_the_map_changes_no_colour_where_it_is_clear(server: Server, page, picture) -> None:
    page.add_init_script(WITH_WEBGL)
    glass = np.full((600, 800, 3), 243, np.uint8)
    glass[200:400, 300:500] = make_field(64, 200, 200)
    open_view(page, server, png(glass))
    for layer in ("#show-marks", "#show-hotspot", "#show-tissue"):
        page.uncheck(layer)
    shown = picture("map")
    page.uncheck("#show-map")
    hidden = picture("no-map")
    assert np.abs(shown[200:600, 400:500] - 243).max() <= 2
    assert np.abs(shown - hidden)[200:600, 600:1100].max() > 20, "the map shows on the tissue"


def test_keys_and_list_lead_to_each_detection(server: Server, page) -> None:
    job = open_view(page, server, png(make_field(65, 400, 500)), threshold="0.01")
    entries = page.locator("#list li")
    chosen, ids = page.locator("#list li[aria-current]"), [one["id"] for one in job["detections"]]
    assert entries.first.get_attribute("aria-setsize") == str(len(ids))
    assert len(ids) > entries.count() == 60, "the list has rows for what is in sight only"
    page.keyboard.press("n")
    page.keyboard.press("n")
    assert chosen.get_attribute("aria-posinset") == "2"
    page.keyboard.press("p")
    page.keyboard.press("p")
    assert chosen.get_attribute("aria-posinset") == str(len(ids))
    page.evaluate("document.querySelector('#list').scrollTop = 0")
    page.locator("#list li[aria-posinset='1'] button").click()
    assert chosen.get_attribute("aria-posinset") == "1"
    page.wait_for_function("() => document.querySelector('#list img').naturalWidth === 128")
    page.wait_for_timeout(1000)
    x, y = page.evaluate("""() => { const box = document.querySelector('#slide').getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2]; }""")
    page.mouse.move(x, y)
    assert f"score {job['detections'][0]['score']:.3f}" in page.inner_text("#place"), "not in the middle"
    page.keyboard.press("d")
    assert not page.is_checked("#show-marks")
    scores = [detection["score"] for detection in job["detections"]]
    page.fill("#threshold", f"{scores[len(scores) // 2]:.2f}")
    shown = float(page.inner_text("#threshold-value"))
    assert entries.first.get_attribute("aria-setsize") == str(sum(score >= shown for score in scores))
    page.keyboard.press("]")
    assert float(page.inner_text("#threshold-value")) == pytest.approx(shown + 0.02)
    page.click("#reset")
    assert entries.first.get_attribute("aria-setsize") == str(len(ids))
    page.keyboard.press("?")
    assert page.is_visible("#keys")


def test_the_slide_turns_with_its_marks_and_is_measured(server: Server, page) -> None:
    job = open_view(page, server, png(make_field(67, 400, 500)), threshold="0.01")
    page.wait_for_selector("body[data-review=shown]")
    box = page.locator("#slide").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.click("#turn-left")
    page.click("#home")  # Upright again.
    for _ in range(6):
        page.keyboard.press(".")
    page.wait_for_url("**#*turn=90*")
    best = job["detections"][0]
    page.keyboard.press("4")  # One pixel of the slide on one of the screen; the middle stays.
    page.wait_for_selector("#zoom:text-is('0.25 µm/px')")
    assert page.is_hidden("#interpolated")
    page.mouse.move(middle[0] - (best["y"] - 199.5), middle[1] + (best["x"] - 249.5))
    assert f"score {best['score']:.3f}" in page.inner_text("#place")
    page.keyboard.press("l")
    page.mouse.click(middle[0] - 60, middle[1])
    page.mouse.click(middle[0] + 60, middle[1] - 50)
    assert page.inner_text("#measured") == "32.5 µm"
    page.keyboard.press("l")
    page.keyboard.press("l")
    page.keyboard.press("l")
    assert page.inner_text("#measured") == "0.0 µm"
    page.keyboard.press("Escape")
    assert page.inner_text("#measured") == ""
    page.keyboard.press("+")
    page.wait_for_selector("#interpolated:not([hidden])")


#: Pixels by which the panel is wider than its column, beside a scroll bar of 15: this browser draws none.
TOO_WIDE = """() => {
  const panel = document.querySelector("aside");
  panel.style.borderRightWidth = "16px";
  const tooWide = panel.scrollWidth - panel.clientWidth;
  panel.style.borderRightWidth = "";
  return tooWide;
}"""


def test_unread_area_is_drawn_and_said(server: Server, page, picture, holed_slide: Path) -> None:
    job = open_view(page, server, holed_slide.read_bytes(), stride="4")
    assert "could not be read" in page.inner_text("#unread")
    assert page.evaluate(TOO_WIDE) == 0
    for layer in ("#show-marks", "#show-hotspot", "#show-tissue", "#show-map"):
        page.uncheck(layer)
    drawn = picture("unread")
    page.keyboard.press("u")
    changed = np.abs(picture("no-unread") - drawn).max(axis=-1) > 10
    box = page.evaluate("document.querySelector('#slide').getBoundingClientRect().toJSON()")
    scale = box["height"] / 512  # The slide is square and fills the height.
    slide_left = box["left"] + (box["width"] - box["height"]) / 2
    (left, top), (right, bottom) = lost_corners(server.client.get(f"/jobs/{job['id']}/regions").json()["features"])
    on_slide = changed[:, int(slide_left) : int(slide_left + 0.9 * box["height"])]  # Beside it lies the navigator.
    rows, cols = np.flatnonzero(on_slide.any(axis=1)), np.flatnonzero(on_slide.any(axis=0))
    assert (rows[0], rows[-1]) == pytest.approx((top * scale, bottom * scale), abs=3)
    assert (cols[0], cols[-1]) == pytest.approx((left * scale, right * scale), abs=3)


def open_view(page: Page, server: Server, body: bytes, **query: str) -> dict:
    """A job that has succeeded, its page opened and drawn."""
    job = scanned(server, body, **query)
    page.goto(f"{server.client.base_url}/jobs/{job['id']}/view")
    page.wait_for_selector("body[data-result=shown]")
    return job


def test_the_api_is_documented_in_the_browser(server: Server, page, picture) -> None:
    page.goto(f"{server.client.base_url}/docs")
    page.wait_for_selector("#operations-scan-detect_detect_post, .opblock")
    picture("docs")


def test_a_slide_that_has_changed_is_gone_and_its_result_stays(tmp_path: Path, models_folder: Path) -> None:
    slide = tmp_path / "slides" / "field.png"
    slide.parent.mkdir()
    slide.write_bytes(png(make_field(62)))
    with Server(tmp_path, models_folder, MITOSCAN_SLIDE_FOLDERS=f'["{slide.parent}"]').start() as server:
        job = server.client.post("/detect", json={"source": {"path": "field.png"}}).raise_for_status().json()
        where = f"/jobs/{job['id']}"
        shown = ("slide.json", "slide_files/8/0_0.jpeg", "crops/60_60.jpeg", "thumbnail.jpeg")
        assert {server.client.get(f"{where}/{name}").status_code for name in shown} == {200}
        slide.write_bytes(png(make_field(63)))
        answers = [server.client.get(f"{where}/{name}") for name in shown]
        assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {
            (410, "urn:mitoscan:slide-changed")
        }
        assert server.client.get(f"{where}/detections").status_code == 200
        slide.unlink()
        assert server.client.get(f"{where}/slide.json").status_code == 200
