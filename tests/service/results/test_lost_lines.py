"""The pages find their way back: after a restart, after a proxy cut the stream, and in the middle of an upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.service.fields import make_large_field, png
from tests.service.local_servers import BreakingLine
from tests.service.server_process import Server


@pytest.fixture
def own_server(tmp_path: Path, models_folder: Path) -> Iterator[Server]:
    with Server(tmp_path, models_folder).start() as running:
        yield running


@pytest.fixture
def line(own_server: Server) -> Iterator[BreakingLine]:
    between = BreakingLine(own_server.client.base_url.host, own_server.client.base_url.port, (60_000_000,))
    yield between
    between.close()


@pytest.mark.slow
def test_a_page_follows_its_job_over_a_cut_line_and_a_restart(browser, own_server: Server, line: BreakingLine) -> None:
    # Minutes of work on any machine: it is cancelled in the end.
    job_id = own_server.submit(png(make_large_field(61, 30)), stride="1")
    own_server.wait(job_id, "RUNNING")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{line.address}/jobs/{job_id}/view")
    page.wait_for_selector("body[data-slide=open]")
    line.cut()
    page.wait_for_selector("#state:has-text('Scanning')")
    own_server.stop()
    line.cut()
    page.wait_for_selector("#state:has-text('trying again')")
    own_server.start()
    line.lead_to(own_server.client.base_url.host, own_server.client.base_url.port)
    page.wait_for_selector("#state:has-text('Scanning')")
    own_server.client.delete(f"/jobs/{job_id}").raise_for_status()
    page.wait_for_selector("#state:has-text('Cancelled')")
    page.close()


@pytest.mark.slow
def test_an_upload_that_breaks_off_goes_on(browser, own_server: Server, line: BreakingLine, tmp_path: Path) -> None:
    # 200 MB that nothing compresses, of which the scan looks at one small tile of tissue: the rest is glass.
    slide = tmp_path / "large.tif"
    pixels = np.random.default_rng(5).integers(240, 256, (8192, 8192, 3), np.uint8)
    tifffile.imwrite(slide, pixels, tile=(512, 512), photometric="rgb", resolution=(40_000, 40_000), resolutionunit=3)
    assert slide.stat().st_size > 200e6
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(line.address)
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", slide)
    page.wait_for_selector("#sending li:has-text('trying again')")
    page.wait_for_url("**/view")
    job_id = page.url.split("/")[-2]
    assert line.breaks_left == 0
    assert own_server.client.get(f"/jobs/{job_id}").json()["name"] == "large.tif"
    page.close()
