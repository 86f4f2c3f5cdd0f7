"""A power cut costs an unfinished scan half a minute of work, and no pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from scanner import scan
from scanner.files import atomic
from scanner.inference.progress import Progress
from scanner.maps.unfinished import WORK_NAME
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

STRIDE, TILE = 4, 32


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_pyramid(path, texture(160, 150), levels=1, compression="jpeg")
    return path


@dataclass
class Disk:
    """What would be left of files after a power cut: their content when they were last synced."""

    durable: dict[Path, bytes] = field(default_factory=dict)
    at_the_cut: dict[Path, bytes] = field(default_factory=dict)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = atomic._sync

        def sync(path: Path) -> None:
            original(path)
            self.durable[path] = path.read_bytes()

        monkeypatch.setattr(atomic, "_sync", sync)

    def cut(self) -> None:
        self.at_the_cut = dict(self.durable)


#: What an unsynced chunk is after the cut.
TORN: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("tail", ["kept", "cut", "torn"])
@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_a_power_cut_costs_half_a_minute_of_work_and_no_pixel(
    torn: Callable[[Path], object], tail: str, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, now, seconds_a_tile, cut_after = Disk(), [0.0], 4.0, 18
    whole = scan(slide, random_model(stride=STRIDE), tmp_path / "whole", tile_size=TILE)

    def tile_done(progress: Progress) -> None:
        if progress.tiles_done == cut_after:
            disk.cut()
            raise KeyboardInterrupt
        now[0] += seconds_a_tile

    with monkeypatch.context() as patch:
        patch.setattr("scanner.files.journal.time.monotonic", lambda: now[0])
        disk.watch(patch)
        with pytest.raises(KeyboardInterrupt):
            scan(slide, random_model(stride=STRIDE), tmp_path / "out", tile_size=TILE, on_progress=tile_done)
    work = tmp_path / "out" / WORK_NAME
    unsynced = [path for path in work.glob("map*.zarr/c/*/*") if path not in disk.at_the_cut]
    assert unsynced
    for path in unsynced:
        torn(path)
    journal = work / "journal.jsonl"
    synced = disk.at_the_cut[journal]
    left = {"kept": journal.read_bytes(), "cut": synced, "torn": synced + b'{"tile": 9, "lo'}[tail]
    journal.write_bytes(left)

    done: list[Progress] = []
    result = scan(slide, random_model(stride=STRIDE), tmp_path / "out", tile_size=TILE, on_progress=done.append)
    again = cut_after - (done[0].tiles_done - 1)
    assert 0 < again * seconds_a_tile <= 30
    np.testing.assert_array_equal(np.asarray(result.map), np.asarray(whole.map))
    result.map.close()
    whole.map.close()
