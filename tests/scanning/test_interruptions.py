"""Scans that meet damage, are stopped, and go on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scanner import scan
from scanner.errors import OutputExistsError, ScanCancelledError
from scanner.inference.progress import Progress
from tests.factories.holes import leave_out
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import dot_model, planted, random_model


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "texture.svs"
    write_pyramid(path, texture(397, 331), levels=2, mpp=0.25, compression="jpeg")
    return path


def damage(path: Path, *, tile: int) -> None:
    """Overwrite the middle of one TIFF tile of level 0."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, size = page.dataoffsets[tile], page.databytecounts[tile]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x00" * size)


def test_tissue_that_cannot_be_read_is_reported_and_not_counted(tmp_path: Path) -> None:
    places = [(200, 200), (450, 450)]
    pixels = planted(640, 640, places)
    write_pyramid(tmp_path / "good.svs", pixels, levels=1, compression="deflate")
    write_pyramid(tmp_path / "bad.svs", pixels, levels=1, compression="deflate")
    damage(tmp_path / "bad.svs", tile=3 * 5 + 3)  # rows and columns 384 to 511: holds the second dot
    good = scan(tmp_path / "good.svs", dot_model())
    results = [scan(tmp_path / "bad.svs", dot_model(), tmp_path / f"{size}", tile_size=size) for size in (100, 1024)]
    for bad in results:
        assert [(d.row, d.col) for d in bad.detections] == [(d.row, d.col) for d in good.detections if d.row < 300]
        assert bad.report["area_mm2"]["unreadable"] > 0
        total = bad.report["area_mm2"]["unreadable"] + bad.report["area_mm2"]["tissue"]
        assert total == pytest.approx(good.report["area_mm2"]["tissue"])
        assert not np.asarray(bad.map)[400:500, 400:500].any()


def test_a_tile_without_bytes_is_neither_glass_nor_tissue(tmp_path: Path) -> None:
    pixels = planted(640, 640, [(200, 200), (450, 450)])
    for name in ("good.tif", "bad.tif"):
        write_pyramid(tmp_path / name, pixels, levels=1, compression="deflate", style="generic")
    leave_out(tmp_path / "bad.tif", 0, [3 * 5 + 3])  # Holds the second dot.
    good, bad = scan(tmp_path / "good.tif", dot_model()), scan(tmp_path / "bad.tif", dot_model())
    assert [(d.row, d.col) for d in bad.detections] == [(d.row, d.col) for d in good.detections if d.row < 300]
    areas = bad.report["area_mm2"]
    assert areas["unreadable"] >= 128**2 * (0.25 / 1000) ** 2
    assert areas["unreadable"] + areas["tissue"] == pytest.approx(good.report["area_mm2"]["tissue"])


@pytest.mark.parametrize("style", ["aperio", "generic", "ome"])
def test_reduced_levels_without_bytes_change_no_result(tmp_path: Path, style: str) -> None:
    pixels = np.full((1024, 1024, 3), 245, np.uint8)
    pixels[100:740, 200:840] = planted(640, 640, [(200, 200), (450, 450)])
    for name in ("good.tif", "bad.tif"):
        write_pyramid(tmp_path / name, pixels, levels=5, compression="deflate", style=style)
    leave_out(tmp_path / "bad.tif", 4)
    leave_out(tmp_path / "bad.tif", 3, [0])
    good, bad = scan(tmp_path / "good.tif", dot_model()), scan(tmp_path / "bad.tif", dot_model())
    assert good.detections == bad.detections
    assert good.report["area_mm2"] == bad.report["area_mm2"]
    assert good.report["statistics"] == bad.report["statistics"]


def test_a_cancelled_scan_leaves_nothing_that_looks_finished(slide: Path, tmp_path: Path) -> None:
    asked = iter([False, False, True])
    with pytest.raises(ScanCancelledError, match="cancelled after 2 of"):
        scan(slide, random_model(), tmp_path / "out", tile_size=64, should_stop=lambda: next(asked))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".scan"]


def test_a_scan_goes_on_where_it_was_stopped(slide: Path, tmp_path: Path) -> None:
    model, out = random_model(), tmp_path / "out"
    scan(slide, model, tmp_path / "whole", tile_size=64).map.close()
    tiles: list[int] = []
    for stop_after in (3, 0, 7, 10_000):
        seen: list[Progress] = []
        with suppress(ScanCancelledError):
            scan(
                slide,
                model,
                out,
                tile_size=64,
                on_progress=seen.append,
                should_stop=lambda n=stop_after, seen=seen: len(seen) >= n,
            ).map.close()
        tiles += [progress.tiles_done for progress in seen if not progress.is_after_network]
    assert tiles == list(range(1, seen[-1].tiles_total + 1))
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())
    for path in out.iterdir():
        if path.name != "run.json":
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes(), path.name


def test_an_unfinished_scan_with_another_plan_is_not_continued(slide: Path, tmp_path: Path) -> None:
    asked = iter([False, False, False, True])
    with pytest.raises(ScanCancelledError):
        scan(slide, random_model(), tmp_path / "out", tile_size=64, should_stop=lambda: next(asked))
    other = random_model(seed=1)
    other = replace(other, card=replace(other.card, sha256="other"))
    result = scan(slide, other, tmp_path / "out", tile_size=64)
    np.testing.assert_array_equal(np.asarray(result.map), np.asarray(scan(slide, other, tile_size=64).map))


def test_two_scans_do_not_write_into_one_folder(slide: Path, tmp_path: Path) -> None:
    def scan_again(_: Progress) -> None:
        with pytest.raises(OutputExistsError, match="another scan"):
            scan(slide, random_model(), tmp_path / "out")

    scan(slide, random_model(), tmp_path / "out", on_progress=scan_again).map.close()


def test_an_older_scan_is_no_longer_complete_once_its_files_are_replaced(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(slide, random_model(), tmp_path).map.close()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scanner.scanning.finish_report", die)
    with pytest.raises(KeyboardInterrupt):
        scan(slide, random_model(seed=1), tmp_path)
    assert (tmp_path / "detections.csv").exists()
    assert not (tmp_path / "run.json").exists()
