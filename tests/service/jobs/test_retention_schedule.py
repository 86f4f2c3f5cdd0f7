"""What is past its time goes by the schedule; what an open job needs stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.service.fields import make_field, make_large_field, png
from tests.service.server_process import Server


def test_the_schedule_cleans_and_spares_open_jobs(tmp_path: Path, models_folder: Path) -> None:
    settings = {"MITOSCAN_CLEANING_SCHEDULE": "* * * * * *", "MITOSCAN_KEEP_DAYS": "0.00001"}
    with Server(tmp_path, models_folder, **settings).start() as server:
        done = server.client.post("/detect", content=png(make_field(1))).json()
        running = server.submit(png(make_large_field(2, 30)), stride="1")  # Is cancelled in the end.
        server.wait(running, "RUNNING")
        waiting = server.submit(png(make_field(3)))
        uploads, results = tmp_path / "data" / "uploads", tmp_path / "data" / "results"
        forgotten = uploads / ("f" * 64)
        forgotten.mkdir()
        for folder in (*uploads.iterdir(), *results.iterdir()):
            os.utime(folder, (1, 1))  # Old enough not to be in use by someone unseen.
        deadline = time.monotonic() + 60
        while server.client.get(f"/jobs/{done['id']}").status_code != 404 or forgotten.exists():
            assert time.monotonic() < deadline, list(uploads.iterdir())
            time.sleep(0.2)
        assert server.client.get(f"/jobs/{running}").json()["status"] == "RUNNING"
        assert server.client.get(f"/jobs/{waiting}").json()["status"] == "QUEUED"
        slides = [folder for folder in uploads.iterdir() if len(folder.name) == 64]
        assert len(slides) == 2, "those of the two open jobs"
        server.client.delete(f"/jobs/{running}")
