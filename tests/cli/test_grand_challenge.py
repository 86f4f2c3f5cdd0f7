"""Grand-Challenge's contract, kept with TIFF, PNG and MHA."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from models import save_model
from scanner import scan
from scanner.cli.app import app
from scanner.cli.challenge_input import find_image
from scanner.cli.grand_challenge import read_mha, scan_challenge
from scanner.errors import DamagedSlideError, SlideNotFoundError, UnsupportedSlideError
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

PIXELS = texture(150, 170)


def mha(
    *, compressed: bool = True, spacing: str = "0.00025 0.00025", size: str = "170 150", channels: int = 3
) -> bytes:
    data = PIXELS.tobytes()
    header = (
        f"ObjectType = Image\nNDims = 2\nBinaryData = True\nCompressedData = {compressed}\n"
        f"ElementSpacing = {spacing}\nDimSize = {size}\nElementNumberOfChannels = {channels}\n"
        "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    return header.encode() + (zlib.compress(data) if compressed else data)


def job(folder: Path, name: str = "a.tif") -> Path:
    image = folder / "images" / "histopathology-roi-cropout" / name
    image.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".mha"):
        image.write_bytes(mha())
    else:
        # In one strip, as plain fields are: the mpp stands in the tags.
        tifffile.imwrite(image, PIXELS, photometric="rgb", resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    (folder / "inputs.json").write_text('[{"interface": {"slug": "histopathology-roi-cropout"}}]')
    return image


@pytest.mark.parametrize("name", ["a.tif", "a.mha"])
def test_every_candidate_is_a_point_in_millimetres(tmp_path: Path, name: str) -> None:
    image = job(tmp_path, name)
    path, _ = scan_challenge(find_image(tmp_path), tmp_path / "output", random_model(stride=4), threshold=0.7)
    assert path == tmp_path / "output" / "mitotic-figures.json"
    found = json.loads(path.read_text())
    assert found["type"] == "Multiple points"
    write_pyramid(tmp_path / "same.tif", PIXELS, levels=1, mpp=0.25, style="generic")
    expected = scan(tmp_path / "same.tif", random_model(stride=4), threshold=0.7)
    assert image.exists()
    assert len(found["points"]) == len(expected.candidates) > len(expected.detections) > 0
    for point, candidate in zip(found["points"], expected.candidates, strict=True):
        x_mm, y_mm, z_mm = point["point"]
        assert (x_mm, y_mm, z_mm) == (pytest.approx(candidate.col_um / 1e3), pytest.approx(candidate.row_um / 1e3), 0)
        assert (point["name"] == "mitotic figure") == (candidate.score >= 0.7)


def test_the_command_needs_one_image(tmp_path: Path) -> None:
    save_model(tmp_path / "model", random_model(stride=4))
    arguments = ["grand-challenge", "--input", str(tmp_path), "--output", str(tmp_path / "out")]
    arguments += ["--model", str(tmp_path / "model")]
    nothing = CliRunner().invoke(app, arguments)
    assert (nothing.exit_code, "needs one image in images/<slug>/, holds none" in nothing.stderr) == (1, True)
    job(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out' / 'mitotic-figures.json'}\n")
    job(tmp_path, "b.mha")
    with pytest.raises(SlideNotFoundError, match=r"a\.tif, images/histopathology-roi-cropout/b\.mha"):
        find_image(tmp_path)


@pytest.mark.parametrize("compressed", [True, False])
def test_mha_is_read_as_it_was_written(tmp_path: Path, compressed: bool) -> None:
    (tmp_path / "a.mha").write_bytes(mha(compressed=compressed, size="170 150 1", spacing="0.0005 0.0005 1"))
    pixels, spacing_mm = read_mha(tmp_path / "a.mha")
    np.testing.assert_array_equal(pixels, PIXELS)
    assert spacing_mm == 0.0005


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (mha(channels=1), UnsupportedSlideError),
        (mha(spacing="0.1 0.2"), UnsupportedSlideError),
        (mha(size="170 150 9"), UnsupportedSlideError),
        (b"no header", UnsupportedSlideError),
        (mha()[:-100], DamagedSlideError),
        (mha(compressed=False)[:-1], DamagedSlideError),
    ],
)
def test_other_mha_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    (tmp_path / "a.mha").write_bytes(content)
    with pytest.raises(error, match=r"a\.mha"):
        read_mha(tmp_path / "a.mha")
