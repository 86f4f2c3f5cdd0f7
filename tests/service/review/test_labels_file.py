"""labels.zip of a review, as training reads it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from scanner.labels.folder import LabelRules, read_labelled
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.review.test_review_http import candidates_of, put
from tests.service.server_process import Server


def test_labels_are_what_training_reads(server: Server, tmp_path: Path) -> None:
    job = scanned(server, png(make_field(77, height=220, width=260)))
    client, where = server.client, f"/jobs/{job['id']}"
    empty = client.get(f"{where}/files/labels.zip")
    assert (empty.status_code, empty.json()["type"]) == (409, "urn:mitoscan:nothing-reviewed")
    inner = [one for one in candidates_of(client, job) if not one["border"]]
    put(client, job, inner[0]["id"], "accepted")
    put(client, job, inner[1]["id"], "rejected")
    put(client, job, inner[2]["id"], "unsure")
    client.post(f"{where}/review/marks", json={"x": 9.5, "y": 5})
    got = client.get(f"{where}/files/labels.zip").raise_for_status()
    assert got.content == client.get(f"{where}/files/labels.zip").content
    with zipfile.ZipFile(io.BytesIO(got.content)) as labels:
        labels.extractall(tmp_path)
    (field,) = read_labelled(tmp_path, LabelRules(0.25))
    places = {(row, col) for row, col in field.points}
    assert places == {(inner[0]["y"], inner[0]["x"]), (5.0, 9.5)}
    assert [(row, col) for row, col in field.disputed] == [(inner[1]["y"], inner[1]["x"])]
    assert len(field.ignored) == len(candidates_of(client, job)) - 2
    assert np.array_equal(field.read(), make_field(77, height=220, width=260))
