"""Several images in a file: the service scans the first or the one asked for, names the others, and shows it."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.factories.images import FIRST, OVERVIEW, SECOND, WRITERS, Part
from tests.factories.slides import Pixels

PARTS = [Part(OVERVIEW, mpp=16.0), Part(FIRST, 2), Part(SECOND)]


@pytest.fixture(params=["a.ome.tif", "a.tif", "big.ome.tif"])
def body(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    WRITERS[request.param](tmp_path / request.param, PARTS)
    return (tmp_path / request.param).read_bytes()


@pytest.mark.parametrize(("asked", "index", "pixels"), [(None, 1, FIRST), (1, 1, FIRST), (2, 2, SECOND)])
def test_the_image_that_was_scanned_is_said_and_shown(
    client: httpx.Client, body: bytes, asked: int | None, index: int, pixels: Pixels
) -> None:
    answer = client.post("/detect", content=body, params={} if asked is None else {"image": asked})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    image = job["image"]
    assert (image["index"], image["width"], image["height"]) == (index, pixels.shape[1], pixels.shape[0])
    assert [(one["index"], one["kind"]) for one in image["images"]] == [(0, "overview"), (1, "image"), (2, "image")]
    others = [warning for warning in job["warnings"] if "holds 2 images; image 1 was scanned, not image 2" in warning]
    assert len(others) == (asked is None)
    assert client.get(f"/jobs/{job['id']}").json()["image"] == image
    report = client.get(f"/jobs/{job['id']}/files/run.json").json()
    assert report["slide"]["image"] == index
    assert_shown(client, job["id"], pixels)


def assert_shown(client: httpx.Client, job: str, pixels: Pixels) -> None:
    """Viewer, thumbnail and DZI hold the image that was scanned."""
    size = client.get(f"/jobs/{job}/slide.json").json()
    assert (size["width"], size["height"]) == (pixels.shape[1], pixels.shape[0])
    assert f"Width='{pixels.shape[1]}'" in client.get(f"/jobs/{job}/slide.dzi").text
    tile = client.get(f"/jobs/{job}/slide_files/{size['levels'] - 1}/0_0.jpeg").content
    shown = np.asarray(Image.open(io.BytesIO(tile)).convert("RGB")).astype(int)
    assert np.abs(shown - pixels).mean() < 12
    thumbnail = Image.open(io.BytesIO(client.get(f"/jobs/{job}/thumbnail.jpeg").content))
    small = np.asarray(Image.fromarray(pixels).resize(thumbnail.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(thumbnail.convert("RGB")).astype(int) - small).mean() < 12


def test_an_image_that_is_not_there_is_refused_with_those_there_are(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/detect", content=body, params={"image": 3})
    assert answer.status_code == 422
    assert "there is no image 3; it holds image 0" in answer.json()["detail"]
    assert client.post("/detect", content=body, params={"image": -1}).status_code == 422
