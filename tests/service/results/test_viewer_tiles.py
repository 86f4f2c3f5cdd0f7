"""Tiles, thumbnails and crops show the slide, whatever of it can be read."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from service.results.viewer_tiles import TILE_SIDE, UNREADABLE_GREY
from tests.service.fields import make_field, png
from tests.service.results.scanned import scanned
from tests.service.server_process import Server


def test_tiles_of_all_levels_join_to_the_slide(server: Server) -> None:
    pixels = make_field(60, 700, 1100, noise=0)
    job = server.client.post("/detect", content=png(pixels), params={"stride": 8}).json()
    size = server.client.get(f"/jobs/{job['id']}/slide.json").json()
    assert (size["width"], size["height"], size["tile_side"]) == (1100, 700, TILE_SIDE)
    assert size["levels"] == 12  # 2^11 is the first power of two that is not smaller than the longest side.
    for downsample, level in ((1, 11), (2, 10), (4, 9)):
        whole = np.zeros((-(-700 // downsample), -(-1100 // downsample), 3), np.uint8)
        for row in range(-(-whole.shape[0] // TILE_SIDE)):
            for col in range(-(-whole.shape[1] // TILE_SIDE)):
                answer = server.client.get(f"/jobs/{job['id']}/slide_files/{level}/{col}_{row}.jpeg").raise_for_status()
                tile = np.asarray(Image.open(io.BytesIO(answer.content)))
                top, left = row * TILE_SIDE, col * TILE_SIDE
                whole[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        expected = np.asarray(Image.fromarray(pixels).resize(whole.shape[1::-1], Image.Resampling.BOX))
        difference = np.abs(whole.astype(int) - expected)
        assert difference.mean() < 2, "more than JPEG does"


def test_tiles_outside_the_slide_are_not_found(client: httpx.Client) -> None:
    job = client.post("/detect", content=png(make_field(1))).json()
    for place in ("0/1_0", "99/0_0", "8/1_0", "8/0_1"):
        answer = client.get(f"/jobs/{job['id']}/slide_files/{place}.jpeg")
        assert answer.status_code in {404, 422}
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_slide_has_a_thumbnail_however_small_it_is(client: httpx.Client) -> None:
    for height, width, expected in ((700, 1100, (44, 69)), (64, 90, (64, 90))):
        job = client.post("/detect", content=png(make_field(62, height, width)), params={"stride": 8}).json()
        answer = client.get(f"/jobs/{job['id']}/thumbnail.jpeg").raise_for_status()
        assert Image.open(io.BytesIO(answer.content)).size == (expected[1], expected[0])


def test_a_slide_with_spoilt_places_is_shown_with_grey_for_them(server: Server, holed_slide: Path) -> None:
    here = f"/jobs/{scanned(server, holed_slide.read_bytes(), stride='4')['id']}"
    tile = server.client.get(f"{here}/slide_files/9/0_0.jpeg").raise_for_status().content
    pixels = np.asarray(Image.open(io.BytesIO(tile))).astype(int)
    is_grey = (np.abs(pixels - UNREADABLE_GREY) < 6).all(axis=-1)
    assert is_grey[136:248, 136:376].all()
    assert is_grey[:120].mean() < 0.05 > is_grey[264:].mean()


def test_a_crop_shows_the_surroundings_of_a_place_and_white_beyond_the_slide(client: httpx.Client) -> None:
    pixels = make_field(63, 300, 400, noise=0)
    here = f"/jobs/{client.post('/detect', content=png(pixels), params={'stride': 8}).json()['id']}"

    def crop(x: int, y: int, side: int = 128) -> np.ndarray:
        answer = client.get(f"{here}/crops/{x}_{y}.jpeg", params={"side": side}).raise_for_status()
        return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)

    assert np.abs(crop(200, 150) - pixels[86:214, 136:264]).mean() < 2  # More than JPEG does.
    corner = crop(0, 0)
    assert corner[:60].mean() > 250
    assert corner[:, :60].mean() > 250
    assert np.abs(corner[64:, 64:] - pixels[:64, :64]).mean() < 4
    assert crop(200, 150, side=256).shape == (128, 128, 3)
    for place, status in (("400_0", 404), ("0_300", 404), ("-1_0", 422)):
        assert client.get(f"{here}/crops/{place}.jpeg").status_code == status
