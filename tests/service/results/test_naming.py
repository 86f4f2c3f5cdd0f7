"""Slides keep their own names, in every file of a result that several jobs share."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server

NAMES = ("Smith A1.svs", 'Jones <b>"2"</b>: x.svs')


def test_identical_bytes_under_two_names_stay_two_names(server: Server) -> None:
    body = png(make_field(64))
    jobs = [scanned(server, body, name=name, case=f"case {number}") for number, name in enumerate(NAMES)]
    assert jobs[1]["cached"] is True
    pictures = []
    for number, (job, name) in enumerate(zip(jobs, NAMES, strict=True)):
        where = f"/jobs/{job['id']}/files"
        assert (job["name"], job["case"]) == (name, f"case {number}")
        report = server.client.get(f"{where}/report.html").text
        shown = f"case {number} · {name}".replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        assert f"<title>{shown}: mitotic figures</title>" in report
        assert f"<h1>{shown}: mitotic figures</h1>" in report
        assert "slide.png" not in report
        assert server.client.get(f"{where}/run.json").json()["slide"]["name"] == f"case {number} · {name}"
        answer = server.client.get(f"{where}/overview.png")
        pictures.append(np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")))
        sizes = {file["name"]: file["bytes"] for file in server.client.get(where).json()["files"]}
        for file in ("overview.png", "report.html", "run.json", "detections.csv"):
            assert sizes[file] == len(server.client.get(f"{where}/{file}").content)
        again = server.client.get(f"{where}/overview.png", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    left = [path.name for path in (server.folder / "data" / "uploads" / "incoming").glob("*") if path.is_file()]
    assert left == [], "a file with a slide's name in it outlives its answer"
    differs = np.flatnonzero((pictures[0] != pictures[1]).any(axis=1))
    assert 0 < len(differs) < 40, "only the line with the name differs"
    assert differs.max() < 40
