"""Laws of the unfinished map: many processes may fill it, band by band, and none gets in another's way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scanner.errors import OutputExistsError
from scanner.geometry import Frame, plan_frame
from scanner.map_store import MapStore, WorkFolder, wait_for_release
from scanner.tiles import Tile, plan_tiles

FRAME: Frame = plan_frame((64, 48), 0.25, 0.25, 1)
TILES = plan_tiles(FRAME, 5, 16)


def store_in(work: Path, *, band: int | None = None, plan: str = "this") -> MapStore:
    return MapStore.open(work, FRAME, chunk_side=16, plan={"plan": plan}, band=band)


def fill(store: MapStore, tile: Tile) -> None:
    store.write(tile, np.full((1, 16, 16), (tile.index + 1) / 100, np.float32), [tile.write] if tile.index == 3 else [])


def test_bands_written_side_by_side_are_one_map(tmp_path: Path) -> None:
    with WorkFolder(tmp_path) as work:
        fill(store_in(work), TILES[0])
    with WorkFolder(tmp_path, band=0) as work, WorkFolder(tmp_path, band=1):
        bands = [store_in(work, band=number) for number in range(2)]
        for tile in TILES[1:]:
            fill(bands[tile.index % 2], tile)
    with WorkFolder(tmp_path) as work:
        whole = store_in(work)
    assert whole.done == {tile.index: [tile.write] if tile.index == 3 else [] for tile in TILES}
    for tile in TILES:
        np.testing.assert_array_equal(whole.read(tile.write), np.float32((tile.index + 1) / 100))


def test_a_half_line_is_cut_off_by_its_own_band_only(tmp_path: Path) -> None:
    with WorkFolder(tmp_path) as work:
        store_in(work)
        journal = work / "journal-1.jsonl"
        journal.write_text('{"tile": 4, "lost": []}\n{"tile": 5')
        assert set(store_in(work, band=0).done) == {4}
        assert journal.read_text().endswith('"tile": 5')  # Its process may be writing just now.
        assert set(store_in(work, band=1).done) == {4}
        assert [json.loads(line)["tile"] for line in journal.read_text().splitlines()] == [4]


def test_a_band_never_clears_the_map_of_another_plan(tmp_path: Path) -> None:
    with WorkFolder(tmp_path) as work:
        fill(store_in(work), TILES[0])
        with pytest.raises(OutputExistsError, match="another scan"):
            store_in(work, band=0, plan="other")
        assert set(store_in(work).done) == {0}
        assert store_in(work, plan="other").done == {}


@pytest.mark.parametrize(("held", "asked"), [(None, None), (None, 0), (0, None), (0, 0)])
def test_a_folder_or_a_band_belongs_to_one(tmp_path: Path, held: int | None, asked: int | None) -> None:
    with WorkFolder(tmp_path, band=held), pytest.raises(OutputExistsError, match="another scan"):
        WorkFolder(tmp_path, band=asked)
    with WorkFolder(tmp_path, band=asked):
        pass


def test_waiting_ends_when_the_folder_is_free_or_time_is_up(tmp_path: Path) -> None:
    wait_for_release(tmp_path, seconds=60)  # There is none.
    with WorkFolder(tmp_path, band=0):
        wait_for_release(tmp_path, band=1, seconds=60)
        wait_for_release(tmp_path, band=0, seconds=0.01)
        wait_for_release(tmp_path, seconds=0.01)
    wait_for_release(tmp_path, seconds=60)
