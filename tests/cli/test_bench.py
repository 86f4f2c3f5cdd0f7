"""`mitoscan bench`: the parts of a scan add up, and the dense net says what the patch loop says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from models import save_model
from scanner.cli.app import app
from scanner.cli.bench_slide import bench_slide, lines_of_slide_bench
from scanner.settings import ScanSettings
from tests.factories.slides import texture
from tests.networks.small_models import random_model


@pytest.fixture
def field(tmp_path: Path) -> Path:
    Image.fromarray(texture(220, 190)).save(tmp_path / "field.png")
    return tmp_path / "field.png"


def test_the_stages_of_a_scan_add_up(field: Path) -> None:
    found = bench_slide(field, random_model(), ScanSettings(tile_size=64, tissue=False))
    text = "\n".join(lines_of_slide_bench(found))
    seconds = {name: float(value) for name, value in re.findall(r"^\| (\D+) \| ([\d.]+) \|", text, re.MULTILINE)}
    assert found.tiles == 12
    whole = seconds.pop("whole scan")
    del seconds["reading, beside the network"]
    assert sum(seconds.values()) == pytest.approx(whole, abs=0.03)
    assert found.network.wall > 0
    assert "form" in found.form


def test_the_command_measures_a_slide(field: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "model", random_model())
    done = CliRunner().invoke(app, ["bench", str(field), "--model", str(tmp_path / "model"), "--stride", "2"])
    assert done.exit_code == 0, done.output
    assert "Scan / network alone:" in done.output
    missing = CliRunner().invoke(app, ["bench", str(tmp_path / "none.svs")])
    assert missing.exit_code == 1


def test_the_command_compares_the_dense_net_with_the_patch_loop(tmp_path: Path) -> None:
    save_model(tmp_path / "model", random_model())
    done = CliRunner().invoke(app, ["bench", "--model", str(tmp_path / "model"), "--stride", "2"])
    assert done.exit_code == 0, done.output
    rows = dict(re.findall(r"^\| (patch by patch|dense)[^|]* \| [\d,.]+ \| ([\d,.]+) \|$", done.output, re.MULTILINE))
    assert rows["patch by patch"] == "1.0"
    assert float(rows["dense"].replace(",", "")) > 1
    (difference,) = re.findall(r"difference of a probability: ([\d.e+-]+)\.$", done.output, re.MULTILINE)
    assert float(difference) < 1e-5
    assert CliRunner().invoke(app, ["bench", "--stride", "0"]).exit_code == 1
