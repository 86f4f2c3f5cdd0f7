"""A scan that is killed at any moment ends, when it is run again, with the bytes of one that was left alone."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models import save_model
from scanner.errors import ScanCancelledError
from scanner.maps.unfinished import WORK_NAME
from scanner.scanning import prepare_slide, scan_prepared
from scanner.settings import ScanSettings
from scanner.slides import open_slide
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.networks.small_models import random_model

KILLS = 5
SCAN = """
import sys, torch
from models import load_model
from scanner import scan
torch.set_num_threads(1)
slide, model, out = sys.argv[1:]
scan(slide, load_model(model), out, tile_size=32, stride=1).map.close()
"""


def start(slide: Path, model: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCAN, str(slide), str(model), str(out)])


def tiles_done(out: Path) -> int:
    journal = out / WORK_NAME / "journal.jsonl"
    return len(journal.read_text().splitlines()) if journal.exists() else 0


def test_killed_scans_end_with_the_same_bytes(tmp_path: Path) -> None:
    slide, model, out = tmp_path / "slide.svs", tmp_path / "model", tmp_path / "out"
    write_pyramid(slide, texture(500, 460), levels=1, compression="jpeg")
    save_model(model, random_model())
    assert start(slide, model, tmp_path / "whole").wait() == 0

    rng, before = random.Random(8), 0
    for _ in range(KILLS):
        process = start(slide, model, out)
        # Killed between two lines of the journal, at a moment that the test does not choose.
        goal = before + rng.randint(1, 25)
        while process.poll() is None and tiles_done(out) < goal:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = tiles_done(out)
        assert done >= before, "a finished tile was lost"
        assert not (out / "run.json").exists()
        before = done
    assert before > KILLS
    (out / ".map.png.4711-1.part").write_bytes(b"as a kill while files are written would leave it")
    with (out / WORK_NAME / "journal.jsonl").open("a") as journal:
        journal.write('{"tile": 9')  # as a kill in the middle of a line would leave it
    assert start(slide, model, out).wait() == 0

    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    for name in set(names) - {"run.json"}:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


#: Says on stdout when the last tile is scored, and when the scan has ended.
EXPORTING_SCAN = """
import sys, torch
from models import load_model
from scanner import scan
torch.set_num_threads(1)
slide, model, out = sys.argv[1:]
said = []
def say(progress):
    if progress.is_after_network and not said:
        said.append(print("scored", flush=True))
exports = "zarr", "dicom", "grand-challenge"
scan(slide, load_model(model), out, tile_size=32, stride=1, exports=exports, on_progress=say).map.close()
print("ended", flush=True)
"""


def run_and_kill(arguments: list[str], rng: random.Random, *, export_seconds: float) -> None:
    """Start a scan and kill it: while it scores in one case of four, else while it finds and writes."""
    process = subprocess.Popen([sys.executable, "-c", EXPORTING_SCAN, *arguments], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        if rng.random() < 0.25:
            while process.poll() is None and tiles_done(Path(arguments[2])) < 5:
                time.sleep(0.001)
        else:
            process.stdout.readline()
            time.sleep(rng.random() * export_seconds)
        process.kill()


@pytest.mark.slow
def test_killed_exports_end_with_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    from tests.factories.dicom import write_dicom_series

    model, out = tmp_path / "model", tmp_path / "out"
    (tmp_path / "series").mkdir()
    write_dicom_series(tmp_path / "series", pyramid(texture(301, 281), 2))
    save_model(model, random_model())
    slide = tmp_path / "series" / "level-0.dcm"
    whole = [sys.executable, "-c", EXPORTING_SCAN, str(slide), str(model), str(tmp_path / "whole")]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "scored\n"
        scored_at = time.monotonic()
        assert process.stdout.readline() == "ended\n"
        export_seconds = time.monotonic() - scored_at

    rng, arguments = random.Random(15), [str(slide), str(model), str(out)]
    for _ in range(8):
        run_and_kill(arguments, rng, export_seconds=export_seconds)
    ended = subprocess.run(
        [sys.executable, "-c", EXPORTING_SCAN, *arguments], check=True, capture_output=True, text=True
    )
    assert ended.stdout == "scored\nended\n"
    expected = {path.relative_to(tmp_path / "whole"): path for path in (tmp_path / "whole").rglob("*")}
    assert {path.relative_to(out) for path in out.rglob("*")} == set(expected)
    for name, path in expected.items():
        if path.is_file() and name != Path("run.json"):
            assert (out / name).read_bytes() == path.read_bytes(), name


@pytest.mark.slow
def test_a_scan_that_the_disk_refuses_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """A bound on the size of files stands for a full disk: the system refuses to write what is beyond it."""
    slide, out = tmp_path / "slide.svs", tmp_path / "out"
    write_pyramid(slide, texture(260, 240), levels=1)
    save_model(tmp_path / "model", random_model())
    command = [sys.executable, "-m", "service.cli", "scan", str(slide), "-m", str(tmp_path / "model"), "--stride", "1"]
    command += ["--tile-size", "64", "--workers", "1", "-o"]

    def scan_with(room: int, out: Path) -> subprocess.CompletedProcess[str]:
        limit = (room, resource.RLIM_INFINITY)
        return subprocess.run(
            [*command, str(out)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        )

    # The first refuses tiles, the second a file of the results.
    for room, what in ((6_000, WORK_NAME), (40_000, "cannot be written")):
        refused = scan_with(room, out)
        assert refused.returncode == 1
        assert "File too large" in refused.stderr
        assert what in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not (out / "slide" / "run.json").exists()
    assert scan_with(resource.RLIM_INFINITY, out).returncode == 0
    assert scan_with(resource.RLIM_INFINITY, tmp_path / "whole").returncode == 0
    names = sorted(path.name for path in (tmp_path / "whole" / "slide").iterdir())
    assert sorted(path.name for path in (out / "slide").iterdir()) == names
    for name in set(names) - {"run.json"}:
        assert (out / "slide" / name).read_bytes() == (tmp_path / "whole" / "slide" / name).read_bytes(), name


@pytest.mark.parametrize("content", ["", "not json", '{"tile": 0, "lost": []}\n'])
def test_a_store_without_its_plan_is_begun_anew(tmp_path: Path, content: str) -> None:
    slide, model, out = tmp_path / "slide.svs", tmp_path / "model", tmp_path / "out"
    write_pyramid(slide, texture(100, 90), levels=1)
    save_model(model, random_model())
    (out / WORK_NAME).mkdir(parents=True)
    (out / WORK_NAME / "journal.jsonl").write_text(content)
    assert start(slide, model, out).wait() == 0
    assert start(slide, model, tmp_path / "whole").wait() == 0
    assert (out / "map.ome.tiff").read_bytes() == (tmp_path / "whole" / "map.ome.tiff").read_bytes()


def test_a_scan_goes_on_with_the_tiles_it_began_with(tmp_path: Path) -> None:
    # As on a GPU that now has room for other tiles than when the scan was killed.
    path, model = tmp_path / "slide.svs", random_model()
    write_pyramid(path, texture(200, 180), levels=1)
    with open_slide(path) as slide:
        chosen = prepare_slide(slide, model, ScanSettings())
        begun = replace(chosen, tile_side=64)
        answers = iter([False] * 5 + [True])
        with pytest.raises(ScanCancelledError):
            scan_prepared(begun, tmp_path / "out", should_stop=lambda: next(answers))
        done = []
        result = scan_prepared(chosen, tmp_path / "out", on_progress=done.append)
        assert result.report["settings"]["tile_size"] == 64
        assert sum(not progress.is_after_network for progress in done) == done[-1].tiles_total - 5
        # Somebody who asks for a size gets it.
        wanted = replace(chosen, settings=ScanSettings(tile_size=48), tile_side=48)
        assert scan_prepared(wanted, tmp_path / "wanted").report["settings"]["tile_size"] == 48
