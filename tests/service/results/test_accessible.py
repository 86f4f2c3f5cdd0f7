"""axe-core finds nothing on any page, light or dark, the reports included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import refuse
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def seeing(browser) -> Iterator:
    """A page that scripts of tests may be put into."""
    page = browser.new_page(bypass_csp=True, viewport={"width": 1280, "height": 800})
    page.set_default_timeout(120_000)
    yield page
    page.close()


def complaints(page) -> list[str]:
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{one['id']}: {one['help']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(server: Server, seeing, tmp_path: Path, theme: str) -> None:
    if not AXE.is_file():
        refuse("needs axe-core: npm ci in tests/service/js")
    job = scanned(server, png(make_field(80)), name="slide.svs")
    where = f"{server.client.base_url}/jobs/{job['id']}"
    for one in job["detections"][:2]:
        server.client.put(f"/jobs/{job['id']}/review/marks/{one['id']}", json={"verdict": "accepted"})
    seeing.emulate_media(color_scheme=theme)
    said = {}
    seeing.goto(str(server.client.base_url))
    seeing.wait_for_selector("#jobs tbody tr")
    said["index"] = complaints(seeing)
    seeing.set_viewport_size({"width": 390, "height": 844})
    seeing.check("#jobs tbody input >> nth=0")
    seeing.click("#delete")
    said["index on a phone, asking"] = complaints(seeing)
    seeing.click("#deleting button[value=keep]")
    seeing.set_viewport_size({"width": 1280, "height": 800})
    seeing.goto(f"{where}/view")
    seeing.wait_for_selector("body[data-review=shown]")
    said["viewer"] = complaints(seeing)
    seeing.click("#help")
    said["keys"] = complaints(seeing)
    seeing.click("#keys button")
    seeing.click("#gallery-open")
    seeing.wait_for_selector("#pictures img[src]")
    said["gallery"] = complaints(seeing)
    seeing.goto(f"{server.client.base_url}/jobs/nothing/view")
    said["missing"] = complaints(seeing)
    for name in ("report.html", "report.reviewed.html"):
        # As a file, as people keep it: from the service it comes in a sandbox without scripts.
        (tmp_path / name).write_bytes(server.client.get(f"{where}/files/{name}").content)
        seeing.goto((tmp_path / name).as_uri())
        said[name] = complaints(seeing)
    assert [f"{name}: {one}" for name, found in said.items() for one in found] == []
