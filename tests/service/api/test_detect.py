"""POST /detect over a real connection: however a field arrives, the answer is that of scan()."""

from __future__ import annotations

import io
import math

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image

from models import load_model
from scanner import scan
from tests.service.fields import make_field, png
from tests.service.server_process import Server

FIELD = make_field(1)
QUERY = {"threshold": "0.2"}


@pytest.fixture(scope="module")
def expected(models_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("field") / "field.png"
    path.write_bytes(png(FIELD))
    return scan(path, load_model(models_folder / "tiny"), threshold=0.2)


def tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, tile=(64, 64), photometric="rgb", compression="deflate")
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["raw", "form", "tiff", "path", "upload", "curl"])
def test_every_way_in_gives_the_result_of_scan(client: httpx.Client, expected, how: str) -> None:
    body = png(FIELD)
    if how == "raw":
        answer = client.post("/detect", content=body, params=QUERY)
    elif how == "form":
        answer = client.post("/detect", files={"file": ("../../etc/passwd", body)}, params=QUERY)
    elif how == "tiff":
        answer = client.post("/detect", content=tiff(FIELD), params=QUERY)
    elif how == "path":
        answer = client.post("/detect", json={"source": {"path": "field.png"}}, params=QUERY)
    elif how == "upload":
        upload = client.post("/uploads", content=body)
        assert upload.status_code == 201
        answer = client.post("/detect", json={"source": {"upload": upload.json()["id"]}}, params=QUERY)
    else:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}  # What `curl --data-binary` says.
        answer = client.post("/detect", content=body, params=QUERY, headers=headers)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["status"] == "SUCCEEDED"
    assert len(found["detections"]) > 3
    assert [(d["x"], d["y"], d["score"]) for d in found["detections"]] == [
        (d.col, d.row, d.score) for d in expected.detections
    ]
    assert found["count"] == expected.report["count"]
    shape = {"width": 200, "height": 160}
    images = [shape | {"index": 0, "name": "", "kind": "image", "mpp": None}]
    resolution = {"mpp": 0.25, "mpp_source": "assumed"}
    assert found["image"] | {"name": ""} == {**shape, **resolution, "name": "", "index": 0, "images": images}
    assert found["hotspots"] == expected.report["hotspots"]
    assert any("assumed" in warning for warning in found["warnings"])
    assert answer.headers["location"] == found["links"]["self"]


def test_jpeg_gives_what_its_own_pixels_give(client: httpx.Client, models_folder, tmp_path) -> None:
    path = tmp_path / "field.jpg"
    Image.fromarray(FIELD).save(path, quality=90)
    found = client.post("/detect", content=path.read_bytes(), params=QUERY).json()
    expected = scan(path, load_model(models_folder / "tiny"), threshold=0.2)
    assert [(d["x"], d["y"], d["score"]) for d in found["detections"]] == [
        (d.col, d.row, d.score) for d in expected.detections
    ]


def test_settings_reach_the_scan(client: httpx.Client) -> None:
    body = png(make_field(2))
    coarse = client.post("/detect", content=body, params={"stride": 8, "mpp": 0.5, "threshold": 0.05}).json()
    assert coarse["image"]["mpp"] == 0.5
    assert coarse["image"]["mpp_source"] == "override"
    assert coarse["warnings"] == []
    report = client.get(coarse["links"]["run.json"]).json()
    assert report["settings"]["stride"] == 8
    assert report["settings"]["threshold"] == 0.05
    for detection in coarse["detections"]:
        assert math.isclose(detection["x_um"], detection["x"] * 0.5)


def test_prefer_respond_async_answers_202_with_the_job(server: Server) -> None:
    body = png(make_field(3))
    answer = server.client.post("/detect", content=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    assert server.wait(answer.json()["id"])["status"] == "SUCCEEDED"


def test_same_bytes_model_and_settings_are_answered_at_once(client: httpx.Client) -> None:
    body = png(make_field(4))
    first = client.post("/detect", content=body, params=QUERY).json()
    again = client.post("/detect", content=body, params=QUERY, headers={"Prefer": "respond-async"})
    assert again.status_code == 200
    assert again.json()["cached"]
    assert again.json()["id"] != first["id"]
    assert again.json()["detections"] == first["detections"]
    other = client.post("/detect", content=body, params={"threshold": "0.3"}).json()
    assert not other["cached"]


def test_idempotency_key_gives_the_same_job(client: httpx.Client) -> None:
    body = png(make_field(5))
    headers = {"Idempotency-Key": "order-17"}
    first = client.post("/detect", content=body, headers=headers)
    second = client.post("/detect", content=body, headers=headers)
    assert first.json()["id"] == second.json()["id"]
    conflict = client.post("/detect", content=png(make_field(6)), headers=headers)
    assert conflict.status_code == 409
    assert conflict.json()["type"].endswith("idempotency-conflict")


def test_no_tissue_is_a_result_without_detections(client: httpx.Client) -> None:
    answer = client.post("/detect", content=png(np.full((64, 64, 3), 255, np.uint8)))
    assert answer.status_code == 200
    assert answer.json()["detections"] == []
    assert answer.json()["count"] == 0
