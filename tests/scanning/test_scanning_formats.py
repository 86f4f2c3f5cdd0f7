"""A scan finds the same figures in every format, and says where they are as viewers of that format count."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.errors import UnsupportedSlideError
from scanner.scanning import scan
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import Pixels, pyramid, texture, write_pyramid
from tests.factories.vendor import write_mirax, write_ndpi, write_scn
from tests.factories.zarr import write_ome_zarr
from tests.networks.small_models import DOT_RADIUS, dot_model

SIDE = 256
DOTS = [(60, 70), (150, 200), (201, 33)]
#: Where MIRAX and SCN place the picture in their frames, (row, col).
ORIGIN = (128, 256)

Write = Callable[[Path, Pixels], Path]


def planted() -> Pixels:
    """Pink tissue with a dark dot at each of DOTS."""
    pixels = np.full((SIDE, SIDE, 3), (225, 170, 205), np.uint8)
    rows, cols = np.ogrid[:SIDE, :SIDE]
    for row, col in DOTS:
        pixels[(rows - row) ** 2 + (cols - col) ** 2 <= DOT_RADIUS**2] = (60, 20, 90)
    return pixels


def as_svs(folder: Path, pixels: Pixels) -> Path:
    write_pyramid(folder / "slide.svs", pixels, compression="aperio_jp2000_rgb")
    return folder / "slide.svs"


def as_ndpi(folder: Path, pixels: Pixels) -> Path:
    write_ndpi(folder / "slide.ndpi", pyramid(pixels, 3))
    return folder / "slide.ndpi"


def as_scn(folder: Path, pixels: Pixels) -> Path:
    write_scn(folder / "slide.scn", pyramid(pixels, 3), origin=ORIGIN)
    return folder / "slide.scn"


def as_mirax(folder: Path, pixels: Pixels) -> Path:
    first = ORIGIN[0] // 128, ORIGIN[1] // 128
    tiles = {
        (first[0] + row, first[1] + col): pixels[row * 128 :, col * 128 :][:128, :128]
        for row in range(2)
        for col in range(2)
    }
    write_mirax(folder / "slide.mrxs", tiles, grid=(4, 6))
    return folder / "slide.mrxs"


def as_dicom(folder: Path, pixels: Pixels) -> Path:
    write_dicom_series(folder, pyramid(pixels, 3))
    return folder / "level-1.dcm"


def as_zarr(folder: Path, pixels: Pixels) -> Path:
    write_ome_zarr(folder / "slide.ome.zarr", pyramid(pixels, 3))
    return folder / "slide.ome.zarr"


def dots_in_table(path: Path) -> list[tuple[float, float]]:
    with path.open(newline="") as file:
        return sorted((float(row["y"]), float(row["x"])) for row in csv.DictReader(file))


def dots_in_geojson(path: Path) -> list[tuple[float, float]]:
    points = [feature["geometry"]["coordinates"] for feature in json.loads(path.read_text())["features"]]
    return sorted((y, x) for x, y in points)


@pytest.mark.parametrize("write", [as_svs, as_ndpi, as_scn, as_mirax, as_dicom, as_zarr])
def test_every_format_gives_the_same_figures(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, planted())
    origin = ORIGIN if write in (as_scn, as_mirax) else (0, 0)
    result = scan(path, dot_model(), tmp_path / "out", workers=1)
    result.map.close()
    report = json.loads((tmp_path / "out" / "run.json").read_text())["slide"]
    assert report["origin"] == {"x": origin[1], "y": origin[0]}
    assert report["icc"] == "absent"
    # Within a pixel, because JPEG blurs the dots.
    in_level0 = [(row + origin[0], col + origin[1]) for row, col in DOTS]
    np.testing.assert_allclose(dots_in_table(tmp_path / "out" / "detections.csv"), in_level0, atol=1)
    # QuPath opens what was scanned, without the empty frame.
    np.testing.assert_allclose(dots_in_geojson(tmp_path / "out" / "detections.geojson"), DOTS, atol=1)


def test_a_grey_slide_is_scanned_on_demand_only(tmp_path: Path) -> None:
    grey = texture(200, 200).mean(axis=2).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    with pytest.raises(UnsupportedSlideError, match=r"grey\.png: it is grey.*--any-stain"):
        scan(tmp_path / "grey.png", dot_model(stride=4), tmp_path / "out")
    assert not (tmp_path / "out" / "run.json").exists()
    scan(tmp_path / "grey.png", dot_model(stride=4), any_stain=True).map.close()


def test_electron_microscopy_is_refused(shared_data: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match="it is grey"):
        scan(shared_data / "isbi12" / "image" / "17.png", dot_model(stride=4))
