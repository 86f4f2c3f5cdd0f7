"""Laws of the unfinished map: many processes may fill it, band by band, and none gets in another's way."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scanner.errors import OutputExistsError
from scanner.files.journal import SyncClock
from scanner.geometry.arrays import FloatMap
from scanner.geometry.frames import Frame, plan_frame
from scanner.geometry.tiles import Tile, plan_tiles
from scanner.maps.store import MapStore
from scanner.maps.unfinished import WORK_NAME, UnfinishedScan, wait_for_release

FRAME: Frame = plan_frame((64, 48), 0.25, 0.25, 1)
TILES = plan_tiles(FRAME, 5, 16)


def resumed(unfinished: UnfinishedScan, *, plan: str = "this") -> MapStore:
    store = unfinished.resume(FRAME, chunk_side=16, plan={"plan": plan})
    store.recall(TILES)
    return store


def fill(store: MapStore, tile: Tile) -> None:
    store.write(tile, values_of(tile)[None], [tile.write] if tile.index == 3 else [])


def values_of(tile: Tile) -> FloatMap:
    return np.full((16, 16), (tile.index + 1) / 100, np.float32)


def test_bands_written_side_by_side_are_one_map(tmp_path: Path) -> None:
    with UnfinishedScan.open(tmp_path) as unfinished:
        fill(resumed(unfinished), TILES[0])
    with UnfinishedScan.open(tmp_path, band=0) as first, UnfinishedScan.open(tmp_path, band=1) as second:
        bands = [resumed(first), resumed(second)]
        for tile in TILES[1:]:
            fill(bands[tile.index % 2], tile)
    with UnfinishedScan.open(tmp_path) as unfinished:
        whole = resumed(unfinished)
    assert whole.done == {tile.index: [tile.write] if tile.index == 3 else [] for tile in TILES}
    for tile in TILES:
        np.testing.assert_array_equal(whole.read(tile.write), np.float32((tile.index + 1) / 100))


def test_a_half_line_is_cut_off_by_its_own_band_only(tmp_path: Path) -> None:
    with UnfinishedScan.open(tmp_path) as unfinished:
        resumed(unfinished)
    with UnfinishedScan.open(tmp_path, band=1) as unfinished:
        fill(resumed(unfinished), TILES[4])
    journal = tmp_path / WORK_NAME / "journal-1.jsonl"
    with journal.open("a") as file:
        file.write('{"tile": 5')
    with UnfinishedScan.open(tmp_path, band=0) as unfinished:
        assert set(resumed(unfinished).done) == {4}
    assert journal.read_text().endswith('"tile": 5')  # Its process may be writing just now.
    with UnfinishedScan.open(tmp_path, band=1) as unfinished:
        assert set(resumed(unfinished).done) == {4}
    assert [json.loads(line)["tile"] for line in journal.read_text().splitlines()] == [4]


def test_a_band_never_clears_the_map_of_another_plan(tmp_path: Path) -> None:
    with UnfinishedScan.open(tmp_path) as unfinished:
        fill(resumed(unfinished), TILES[0])
    with UnfinishedScan.open(tmp_path, band=0) as unfinished, pytest.raises(OutputExistsError, match="another scan"):
        resumed(unfinished, plan="other")
    with UnfinishedScan.open(tmp_path) as unfinished:
        assert set(resumed(unfinished).done) == {0}
        assert resumed(unfinished, plan="other").done == {}


#: What may lie in a journal in place of the whole line of tile 1, of three.
STRANGE = {
    "cut in the middle": lambda line: line[: len(line) // 2],
    "another tile": lambda line: line.replace('"tile": 1', '"tile": 7'),
    "another checksum": lambda line: line.replace('"crc": ', '"crc": 1'),
    "not a number": lambda line: line.replace('"tile": 1', '"tile": NaN'),
    "true": lambda line: line.replace('"tile": 1', '"tile": true'),
    "an unknown field": lambda line: line.replace("{", '{"colour": "red", ', 1),
    "a field less": lambda line: line.replace('"lost": [], ', ""),
    "lost boxes": lambda line: line.replace('"lost": []', '"lost": [[0, 0, NaN, 4]]'),
    "a list": lambda line: f"[{line}]",
    "text": lambda line: "Dear colleague,",
    "bytes that are no text": lambda line: "\udcff\udcfe",
    "zeros": lambda line: "\0" * 512,
    "deep": lambda line: "[" * 100_000,
    "nothing": lambda line: "",
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_a_strange_line_costs_its_tile_and_no_other(tmp_path: Path, change: Callable[[str], str]) -> None:
    with UnfinishedScan.open(tmp_path) as unfinished:
        store = resumed(unfinished)
        for tile in TILES[:3]:
            fill(store, tile)
    journal = tmp_path / WORK_NAME / "journal.jsonl"
    lines = journal.read_text().splitlines()
    lines[1] = change(lines[1])
    journal.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    with UnfinishedScan.open(tmp_path) as unfinished:
        store = resumed(unfinished)
        assert set(store.done) == {0, 2}
        fill(store, TILES[1])
    with UnfinishedScan.open(tmp_path) as unfinished:
        assert set(resumed(unfinished).done) == {0, 1, 2}


#: What may become of the chunk of a tile.
DAMAGE = {
    "missing": lambda chunk: chunk.unlink(),
    "empty": lambda chunk: chunk.write_bytes(b""),
    "cut": lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-3]),
    "zeros": lambda chunk: chunk.write_bytes(bytes(chunk.stat().st_size)),
    "another tile's": lambda chunk: chunk.write_bytes((chunk.parent.parent / "0" / "0").read_bytes()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_tile_without_its_values_is_scored_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    with UnfinishedScan.open(tmp_path) as unfinished:
        store = resumed(unfinished)
        for tile in TILES:
            fill(store, tile)
    damage(tmp_path / WORK_NAME / "map.zarr" / "c" / "1" / "2")
    with UnfinishedScan.open(tmp_path) as unfinished:
        store = resumed(unfinished)
        assert set(store.done) == {tile.index for tile in TILES} - {5}
        fill(store, TILES[5])
        for tile in TILES:
            np.testing.assert_array_equal(store.read(tile.write), values_of(tile))


@pytest.mark.parametrize("name", ["map.zarr/zarr.json", "plan.json"])
def test_a_store_that_cannot_be_opened_is_begun_anew(tmp_path: Path, name: str) -> None:
    with UnfinishedScan.open(tmp_path) as unfinished:
        fill(resumed(unfinished), TILES[0])
        (unfinished.folder / name).write_bytes(b"")
        assert resumed(unfinished).done == {}


def test_what_is_on_disk_is_synced_at_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, synced = [0.0], []
    monkeypatch.setattr("scanner.files.journal.time.monotonic", lambda: now[0])
    monkeypatch.setattr("scanner.files.atomic.os.fsync", lambda descriptor: synced.append(now[0]))
    with UnfinishedScan.open(tmp_path) as unfinished:
        store = resumed(unfinished)
        synced.clear()
        for tile in TILES:
            now[0] += 4.0
            fill(store, tile)
        moments = sorted(set(synced))
        assert moments[0] <= 30.0
        assert max(later - before for before, later in pairwise(moments)) <= 30.0
        assert now[0] - moments[-1] < 30.0


def test_slow_tiles_are_synced_one_by_one() -> None:
    now = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scanner.files.journal.time.monotonic", lambda: now[0])
        clock = SyncClock()
        for _ in range(3):
            now[0] += 25.0
            assert clock.is_due()


@pytest.mark.parametrize(("held", "asked"), [(None, None), (None, 0), (0, None), (0, 0)])
def test_a_folder_or_a_band_belongs_to_one(tmp_path: Path, held: int | None, asked: int | None) -> None:
    with UnfinishedScan.open(tmp_path, band=held), pytest.raises(OutputExistsError, match="another scan is writing"):
        UnfinishedScan.open(tmp_path, band=asked)
    with UnfinishedScan.open(tmp_path, band=asked):
        pass


def test_waiting_ends_when_the_folder_is_free_or_time_is_up(tmp_path: Path) -> None:
    wait_for_release(tmp_path, seconds=60)  # There is none.
    with UnfinishedScan.open(tmp_path, band=0):
        wait_for_release(tmp_path, band=1, seconds=60)
        wait_for_release(tmp_path, band=0, seconds=0.01)
        wait_for_release(tmp_path, seconds=0.01)
    wait_for_release(tmp_path, seconds=60)
