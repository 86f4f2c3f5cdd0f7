"""A real labelled field through the real service with the shipped model: the same detections by every way in."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from models import DEFAULT_MODEL, load_model
from scanner import scan
from tests.service.server_process import Server

#: 1663 x 1485 px, nine figures.
FIELD = "mitos14/images/H04_01Aa.jpg"
MPP = 0.2274


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> object:
    folder = tmp_path_factory.mktemp("real")
    with Server(folder, models_folder, MITOSCAN_DEFAULT_MODEL=DEFAULT_MODEL).start(by_command=True) as started:
        yield started


def ways_in(path: Path) -> dict[str, bytes]:
    """The field as the JPEG that it is, and its pixels as PNG and as tiled TIFF."""
    pixels = np.asarray(Image.open(path))
    picture, tiff = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG", compress_level=1)
    tifffile.imwrite(tiff, pixels, tile=(256, 256), compression="deflate", photometric="rgb")
    return {"field.jpg": path.read_bytes(), "field.png": picture.getvalue(), "field.tif": tiff.getvalue()}


def found(detections: list[dict[str, float]]) -> list[tuple[float, float, float]]:
    return sorted((round(d["x"], 3), round(d["y"], 3), round(d["score"], 5)) for d in detections)


def test_a_labelled_field_gives_the_same_detections_by_every_way_in(server: Server, shared_data: Path) -> None:
    field = shared_data / FIELD
    result = scan(field, load_model(DEFAULT_MODEL), mpp=MPP)
    expected = found([{"x": d.col, "y": d.row, "score": d.score} for d in result.detections])
    for name, body in ways_in(field).items():
        multipart = server.client.post("/detect", files={"file": (name, body)}, params={"mpp": MPP})
        raw = server.client.post("/detect", content=body, params={"mpp": MPP})
        for answer in (multipart, raw):
            assert answer.status_code == 200, answer.text
            assert found(answer.json()["detections"]) == expected, name

    with (shared_data / "mitos14" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == field.name]
    labels = np.array([(float(row["x"]), float(row["y"])) for row in rows]) * MPP
    centres = np.array(expected)[:, :2] * MPP
    distances = np.hypot(*(labels[:, None] - centres[None]).transpose(2, 0, 1))
    assert np.count_nonzero(distances.min(axis=1) <= 8.0) >= len(labels) / 2
