"""Whatever goes wrong after the last tile: the next run scores none again, and ends with the bytes of a calm run."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import Model
from scanner import scan
from scanner.cli.options import end_on_sigterm
from scanner.errors import OutputError, ScanCancelledError
from scanner.inference.progress import Progress, Stage
from tests.conftest import require_system
from tests.factories.slides import texture, write_pyramid
from tests.networks.small_models import random_model

#: Functions in which a scan fails, in their order: each stage after the network.
STAGES = (
    "scanner.detections.figures.measure_background",
    "scanner.detections.figures.find_candidates",
    "scanner.detections.rescoring._score_again",
    "scanner.detections.figures.find_hotspots",
    "scanner.scanning.check_scan",
    "scanner.scanning.describe_result",
    "scanner.scanning.end_earlier_scan",
    "scanner.exports.files.draw_overview",
    "scanner.exports.files.write_detections",
    "scanner.exports.files.write_map",
    "scanner.exports.ome_tiff._spools",
    "scanner.exports.files.write_map_picture",
    "scanner.exports.files.write_hotspot_pictures",
    "scanner.exports.files.write_page",
    "scanner.exports.files.write_zarr",
    "scanner.exports.ome_zarr._write_levels",
    "scanner.scanning.finish_report",
    "scanner.exports.report.write_report",
    "scanner.maps.unfinished.part_of",
)
OPTIONS: Any = {"tile_size": 64, "exports": ("zarr",), "device": "cpu"}
#: How it fails there.
KINDS = ("full disk", "exception", "Ctrl-C", "SIGTERM")


def fail(kind: str) -> None:
    if kind == "full disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if kind == "exception":
        raise RuntimeError("a fault of ours")
    os.kill(os.getpid(), signal.SIGINT if kind == "Ctrl-C" else signal.SIGTERM)
    time.sleep(0.05)  # The main thread takes it, perhaps not this one.


def fail_at(place: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let that function fail at its second call, or at its first if there is no other."""
    module, _, name = place.rpartition(".")
    original: Callable[..., Any] = getattr(__import__(module, fromlist=[name]), name)
    calls = []

    def failing(*arguments: Any, **keywords: Any) -> Any:
        calls.append(name)
        if len(calls) == 2 or name != "_score_again":
            fail(kind)
        return original(*arguments, **keywords)

    monkeypatch.setattr(place, failing)


@pytest.fixture(scope="module")
def model() -> Model:
    plain = random_model(stride=4)
    return replace(plain, card=replace(plain.card, second_look=0.0))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_pyramid(path, texture(160, 150), levels=1, compression="jpeg")
    return path


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals as the command line takes them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    end_on_sigterm()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Jobs that a shell runs in the background ignore it.
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def scan_into(out: Path, slide: Path, model: Model, **keywords: Any) -> list[Progress]:
    """Scan; returns the progress of tiles that were scored."""
    seen: list[Progress] = []
    scan(slide, model, out, on_progress=seen.append, **{**OPTIONS, **keywords}).map.close()
    return [progress for progress in seen if not progress.is_after_network]


def files_of(out: Path) -> dict[str, bytes]:
    """All files but run.json, which has times."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert files.pop("run.json")
    return files


@pytest.fixture(scope="module")
def calm(slide: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a scan that nothing happens to."""
    out = tmp_path_factory.mktemp("calm")
    assert scan_into(out, slide, model)
    return files_of(out)


@pytest.fixture(scope="module")
def scored(slide: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan that was stopped after its last tile, over the result of another one."""
    out = tmp_path_factory.mktemp("scored")
    scan_into(out, slide, model, threshold=0.9, exports=("grand-challenge",))
    stopped = [False]

    def note(progress: Progress) -> None:
        stopped[0] = progress.tiles_done == progress.tiles_total

    with pytest.raises(ScanCancelledError, match="after the network"):
        scan(slide, model, out, on_progress=note, should_stop=lambda: stopped[0], **OPTIONS)
    assert (out / "run.json").exists(), "the earlier result is complete as long as nothing replaces it"
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", STAGES)
def test_no_tile_is_scored_again_after_a_failure(
    place: str, kind: str, slide: Path, model: Model, scored: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(scored, out)
    expected = {
        "full disk": OSError,
        "exception": RuntimeError,
        "Ctrl-C": KeyboardInterrupt,
        "SIGTERM": SystemExit,
    }[kind]
    with pytest.MonkeyPatch.context() as patch:
        fail_at(place, kind, patch)
        with pytest.raises(expected):
            scan_into(out, slide, model)
    assert scan_into(out, slide, model) == []
    assert files_of(out) == calm
    assert sorted(path.name for path in out.iterdir()) == sorted({name.split("/")[0] for name in calm} | {"run.json"})


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.NETWORK])
def test_a_scan_can_be_cancelled_in_every_stage(
    stage: Stage, slide: Path, model: Model, scored: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    out, seen = tmp_path / "out", []
    shutil.copytree(scored, out)

    def is_in_stage() -> bool:
        return bool(seen) and seen[-1].stage == stage

    with pytest.raises(ScanCancelledError, match="cancelled after the network"):
        scan(slide, model, out, on_progress=seen.append, should_stop=is_in_stage, **OPTIONS)
    assert scan_into(out, slide, model) == []
    assert files_of(out) == calm


def test_candidates_that_were_scored_again_are_not_scored_a_third_time(
    slide: Path, model: Model, scored: Path, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen = tmp_path / "out", []
    shutil.copytree(scored, out)

    def stop() -> bool:
        return sum(progress.stage == Stage.RESCORING and progress.stage_share > 0 for progress in seen) >= 5

    with pytest.raises(ScanCancelledError):
        scan(
            slide, model, out, tile_size=64, exports=("zarr",), device="cpu", on_progress=seen.append, should_stop=stop
        )
    journal = out / ".scan" / "rescored.jsonl"
    kept = journal.read_text().splitlines()
    assert len(kept) >= 5
    journal.write_text("\n".join([*kept, kept[0].replace('"score": 0', '"score": 1'), '{"place": [NaN', ""]))
    again: list[Progress] = []
    scan(slide, model, out, tile_size=64, exports=("zarr",), device="cpu", on_progress=again.append).map.close()
    rescored = [progress for progress in again if progress.stage == Stage.RESCORING and progress.stage_share > 0]
    candidates = calm["candidates.csv"].count(b"\n") - 1
    assert len(rescored) <= candidates - len(kept)
    assert files_of(out) == calm


def test_finished_files_are_kept_only_as_they_were_finished(
    slide: Path, model: Model, scored: Path, calm: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(scored, out)
    with pytest.MonkeyPatch.context() as patch:
        fail_at("scanner.scanning.finish_report", "exception", patch)
        with pytest.raises(RuntimeError):
            scan_into(out, slide, model)
    kept = (out / "map.ome.zarr" / "zarr.json").stat().st_mtime_ns
    (out / "map.ome.tiff").write_bytes(b"somebody else's")
    assert scan_into(out, slide, model) == []
    assert (out / "map.ome.zarr" / "zarr.json").stat().st_mtime_ns == kept
    assert files_of(out) == calm


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB of its own."""
    mount, folder = require_system("mount"), tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"may not mount a disk: {done.stderr.strip()}")
    yield folder
    subprocess.run([require_system("umount"), "-l", str(folder)], check=True)


@pytest.mark.parametrize("room", [0, 4_096, 16_384, 65_536])
def test_a_disk_that_is_full_after_the_last_tile_costs_no_tile(
    room: int, slide: Path, model: Model, scored: Path, calm: dict[str, bytes], small_disk: Path
) -> None:
    out, ballast = small_disk / "out", small_disk / "ballast"
    shutil.copytree(scored, out)
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(bytes(free - room))
    with pytest.raises(OutputError, match="No space left"):
        scan_into(out, slide, model)
    ballast.unlink()
    assert scan_into(out, slide, model) == []
    assert files_of(out) == calm
