"""Laws of the unfinished scan: who owns it, how it ends, and what a power cut costs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scanner import scan
from scanner.batch.outcomes import STALE_SECONDS, begin_batch
from scanner.errors import OutputError, OutputExistsError, ScanCancelledError
from scanner.files.atomic import LOCK_NAME, part_of, remove_parts, replacing_folder
from scanner.files.locks import Lock
from scanner.inference.progress import Progress
from scanner.maps.unfinished import WORK_NAME, UnfinishedScan, remove_leftovers
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

STRIDE, TILE = 4, 32


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_pyramid(path, texture(160, 150), levels=1, compression="jpeg")
    return path


def cancelled_after(tiles: int, slide: Path, out: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(ScanCancelledError):
        scan(
            slide,
            random_model(stride=STRIDE),
            out,
            tile_size=TILE,
            on_progress=seen.append,
            should_stop=lambda: len(seen) >= tiles,
        )


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_two_live_results_in_one_folder_each_keep_their_map(slide: Path, tmp_path: Path) -> None:
    first = scan(slide, random_model(stride=STRIDE), tmp_path)
    before = np.asarray(first.map)
    second = scan(slide, random_model(stride=STRIDE, seed=1), tmp_path)
    np.testing.assert_array_equal(np.asarray(first.map), before)
    assert before.any()
    assert not np.array_equal(np.asarray(second.map), before)
    first.map.close()
    assert np.asarray(second.map).any()
    second.map.close()
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]


def test_the_map_of_a_result_goes_with_the_result(slide: Path, tmp_path: Path) -> None:
    result = scan(slide, random_model(stride=STRIDE), tmp_path)
    assert [name for name in names_in(tmp_path) if name.startswith(".")]
    del result
    gc.collect()
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]


def test_a_map_whose_process_was_killed_goes_with_the_next_run(slide: Path, tmp_path: Path) -> None:
    script = "import sys; from tests.maps.test_unfinished import scan_and_be_killed; scan_and_be_killed(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", script, str(slide), str(tmp_path)], check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    (left,) = [name for name in names_in(tmp_path) if name.startswith(".")]
    assert left.startswith(".map.")
    assert left.endswith(".part")
    scan(slide, random_model(stride=STRIDE), tmp_path).map.close()
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]


def scan_and_be_killed(slide: str, out: str) -> None:
    """Scan, and be killed while the result is held."""
    result = scan(slide, random_model(stride=STRIDE), out)
    os.kill(os.getpid(), signal.SIGKILL)
    result.map.close()


def test_a_scan_without_a_folder_leaves_nothing(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = scan(slide, random_model(stride=STRIDE))
    assert len(names_in(tmp_path)) == 1
    assert np.asarray(result.map).any()
    with pytest.raises(ScanCancelledError):
        scan(slide, random_model(stride=STRIDE), should_stop=lambda: True)
    assert len(names_in(tmp_path)) == 1, "a failed scan has taken its folder with it, and nobody else's"
    result.map.close()
    assert names_in(tmp_path) == set()


def test_what_was_scored_outlives_every_object(slide: Path, tmp_path: Path) -> None:
    cancelled_after(5, slide, tmp_path)
    with UnfinishedScan.open(tmp_path) as unfinished:
        assert unfinished.plan is not None
    done: list[Progress] = []
    scan(slide, random_model(stride=STRIDE), tmp_path, tile_size=TILE, on_progress=done.append).map.close()
    assert done[0].tiles_done == 6


def test_it_is_discarded_on_demand(slide: Path, tmp_path: Path) -> None:
    cancelled_after(5, slide, tmp_path)
    with UnfinishedScan.open(tmp_path) as unfinished:
        unfinished.discard()
    assert names_in(tmp_path) == set()


def test_another_process_is_told_that_the_folder_is_in_use(slide: Path, tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from scanner.maps.unfinished import UnfinishedScan as U; "
    script += "u = U.open(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputExistsError, match=f"{tmp_path}: another scan is writing there"):
            scan(slide, random_model(stride=STRIDE), tmp_path)
        holder.kill()
        holder.wait()
    scan(slide, random_model(stride=STRIDE), tmp_path).map.close()


def test_leftovers_of_a_complete_folder_go_but_no_scan_of_something_else(slide: Path, tmp_path: Path) -> None:
    scan(slide, random_model(stride=STRIDE), tmp_path).map.close()
    cancelled_after(5, slide, tmp_path)
    with UnfinishedScan.open(tmp_path) as unfinished:
        asked = {key: unfinished.plan[key] for key in ("slide", "model", "settings")}
    (tmp_path / ".map.png.0123.part").touch()
    with UnfinishedScan.open(tmp_path):
        remove_leftovers(tmp_path, asked)  # Somebody is at it.
    assert (tmp_path / WORK_NAME / "plan.json").exists()
    remove_leftovers(tmp_path, asked | {"model": "another"})
    assert (tmp_path / WORK_NAME / "plan.json").exists()
    remove_leftovers(tmp_path, asked)
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]


def test_the_next_run_removes_parts_files_and_folders_alike_unless_they_are_in_use(tmp_path: Path) -> None:
    file, folder, held = (part_of(tmp_path / name) for name in ("map.png", "map.ome.zarr", "map"))
    file.touch()
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "0").touch()
    held.mkdir()
    (tmp_path / ".hidden").touch()
    (tmp_path / "my.part").touch()
    lock = Lock(held / LOCK_NAME)
    remove_parts(tmp_path)
    assert names_in(tmp_path) == {held.name, ".hidden", "my.part"}
    lock.release()
    remove_parts(tmp_path)
    assert names_in(tmp_path) == {".hidden", "my.part"}


def test_a_batch_removes_what_a_killed_one_has_left_of_its_own_files(tmp_path: Path) -> None:
    old, new = part_of(tmp_path / "batch.json"), part_of(tmp_path / "batch.html")
    for path in (old, new):
        path.touch()
    an_hour_ago = time.time() - STALE_SECONDS - 60
    os.utime(old, (an_hour_ago, an_hour_ago))
    begin_batch(tmp_path, {})
    assert names_in(tmp_path) == {new.name}


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "map.ome.zarr"
    for content in ("old", "new"):
        with replacing_folder(path) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert names_in(path) == {"new"}
    with pytest.raises(OutputError), replacing_folder(path) as temporary:
        (temporary / "its folder is not there").touch()
    assert names_in(path) == {"new"}
    assert names_in(tmp_path) == {"map.ome.zarr"}
