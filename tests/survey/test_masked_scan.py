"""Laws of scans with a mask, of resuming them, and of the files that are only written if asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models import save_model
from scanner import scan
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import Status
from scanner.batch.worklist import Job
from scanner.cli.app import app
from scanner.errors import MaskError, SettingsError
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

MODEL = random_model(stride=4, stain=True)
#: What the mask covers, in level-0 px: top, left, bottom, right; whole cells of 32 px.
INSIDE = (64, 96, 256, 288)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tissue with a hole and glass on the right."""
    path = tmp_path_factory.mktemp("slides") / "a.svs"
    pixels = texture(397, 331)
    pixels[:, 300:] = 243
    write_pyramid(path, pixels, levels=2, mpp=0.25)
    return path


def write_mask(path: Path, box: tuple[int, int, int, int] = INSIDE) -> Path:
    top, left, bottom, right = box
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def files(folder: Path) -> dict[str, bytes]:
    """Every file, but run.json without what a second scan cannot give again."""
    content = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    report = json.loads(content.pop("run.json"))
    for key in ("timing", "finished"):
        del report[key]
    return content | {"run.json": json.dumps(report, sort_keys=True).encode()}


def test_a_mask_changes_where_is_scanned_and_nothing_of_what_is_found_there(slide: Path, tmp_path: Path) -> None:
    whole = scan(slide, MODEL)
    masked = scan(slide, MODEL, mask=write_mask(tmp_path / "mask.geojson"))
    top, left, bottom, right = (edge // 4 for edge in INSIDE)
    expected = np.zeros_like(np.asarray(whole.map))
    expected[top:bottom, left:right] = np.asarray(whole.map)[top:bottom, left:right]
    np.testing.assert_array_equal(np.asarray(masked.map), expected)
    assert 0 < masked.report["area_mm2"]["tissue"] <= 192 * 192 * 0.25**2 / 1e6
    assert masked.report["area_mm2"]["scanned"] == pytest.approx(192 * 192 * 0.25**2 / 1e6)
    assert all(64 <= found.row < 256 and 96 <= found.col < 288 for found in masked.candidates)


def test_without_tissue_the_mask_is_all_there_is(slide: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "mask.geojson", (0, 288, 397, 331))  # Nearly all of it glass.
    masked = scan(slide, MODEL, mask=mask, tissue=False)
    assert masked.report["area_mm2"]["tissue"] == pytest.approx(397 * 43 * 0.25**2 / 1e6)


def test_exported_tissue_fed_back_gives_the_same_scan(slide: Path, tmp_path: Path) -> None:
    scan(slide, MODEL, tmp_path / "one" / "a")
    scan(slide, MODEL, tmp_path / "two" / "a", mask=tmp_path / "one")  # A folder of results is a folder of masks.
    one, two = files(tmp_path / "one" / "a"), files(tmp_path / "two" / "a")
    assert one.keys() == two.keys()
    different = {name for name in one if one[name] != two[name]}
    assert different == {"run.json", "report.html"}  # They name the mask.


def test_every_file_of_a_second_scan_has_the_same_bytes(slide: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mask = write_mask(tmp_path / f"{name}.geojson").rename(tmp_path / "mask.geojson")
        exports = ("grand-challenge", "zarr")
        scan(slide, MODEL, tmp_path / name, mask=mask, hotspot="circle", exports=exports, threshold=0.6)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one == two
    assert {"hotspot-1.png", "report.html", "mitotic-figures.json", "map.ome.zarr/zarr.json"} <= one.keys()


def test_a_batch_skips_only_what_has_the_same_mask(slide: Path, tmp_path: Path) -> None:
    def status(mask: Path | None) -> tuple[Status, str]:
        (outcome,) = scan_batch([job], BatchOrder(MODEL, {"mask": mask}), tmp_path / "out")
        return outcome.status, outcome.reason

    job = Job(slide, tmp_path / "out" / "a")
    mask = write_mask(tmp_path / "mask.geojson")
    assert status(mask) == (Status.OK, "")
    assert status(mask) == (Status.SKIPPED, "")
    (tmp_path / "elsewhere").mkdir()
    moved = write_mask(tmp_path / "elsewhere" / "mask.geojson")
    assert status(moved) == (Status.SKIPPED, "")  # Its content counts, not its place.
    write_mask(mask, (0, 0, 64, 64))
    for other in (mask, None):
        failed, reason = status(other)
        assert (failed, "--overwrite" in reason) == (Status.FAILED, True)


def test_a_slide_without_its_mask_fails_alone(slide: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("1", (331, 397), 1).save(masks / "a.png")
    write_pyramid(tmp_path / "b.svs", texture(150, 150), levels=1)
    jobs = [Job(slide, tmp_path / "out" / "a"), Job(tmp_path / "b.svs", tmp_path / "out" / "b")]
    done, failed = scan_batch(jobs, BatchOrder(MODEL, {"mask": masks}), tmp_path / "out")
    assert (done.status, failed.status) == (Status.OK, Status.FAILED)
    assert "needs one mask for b.svs" in failed.reason


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"hotspot": "11hpf"}, "11hpf"),
        ({"hotspots": 0}, "hotspots = 0"),
        ({"exports": ("fax",)}, "pass dicom, grand-challenge, zarr"),
    ],
)
def test_impossible_settings_are_named(slide: Path, keywords: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        scan(slide, MODEL, **keywords)


def test_a_mask_that_is_not_there_is_named(slide: Path) -> None:
    with pytest.raises(MaskError, match=r"gone\.geojson: there is no such mask"):
        scan(slide, MODEL, mask=Path("gone.geojson"))


def test_the_command_takes_masks_windows_and_exports(slide: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "model", MODEL)
    mask = write_mask(tmp_path / "mask.geojson")
    arguments = ["scan", str(slide), "-o", str(tmp_path / "out"), "-m", str(tmp_path / "model")]
    arguments += ["--mask", str(mask), "--hotspot", "10hpf", "--hotspots", "2", "--export", "zarr"]
    arguments += ["--export", "grand-challenge", "--export", "zarr"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out" / "a" / "run.json").read_text())
    assert report["hotspot_window"]["area_mm2"] == pytest.approx(2.37)
    assert report["settings"]["exports"] == ["grand-challenge", "zarr"]
    assert report["settings"]["mask"]["name"] == "mask.geojson"
    assert (tmp_path / "out" / "batch.html").is_file()
    assert (tmp_path / "out" / "a" / "mitotic-figures.json").is_file()
    assert (tmp_path / "out" / "a" / "map.ome.zarr").is_dir()
