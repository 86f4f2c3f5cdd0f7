"""What a kill costs: `python -m benchmarks.kills [--side 8000] [--kills 20] [--stride 4] [--export zarr]`.

A scan is left alone once, to know its files and how long it takes. Then it is begun again and again, and killed each
time (SIGKILL) at a random moment, until that was done often enough; the last one ends. For every kill it says how much
must be done again, in processor time, which other work on the machine changes little: all of that run but the time
between its first tile and its last one that are kept. In the end all files are compared, times aside. Runs on Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import SCAN
from benchmarks.slides import write_slide
from scanner.maps.unfinished import WORK_NAME
from scanner.slides import open_slide
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid

#: What differs between two runs of the same scan.
TIMES = {"timing", "finished", "seconds"}
_POLL_SECONDS = 0.02


def start(slide: Path, out: Path, options: list[str]) -> subprocess.Popen[bytes]:
    """A scan of the slide by the command line, in a process of its own."""
    command = [sys.executable, "-c", SCAN, "scan", str(slide), "-o", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@dataclass(frozen=True)
class Killed:
    """One kill."""

    #: Wall clock of the run.
    seconds: float
    #: Processor time of the run, and how much of it must be spent again.
    cpu_seconds: float
    cpu_again: float
    #: Tiles that are kept, of all runs so far.
    tiles: int


def run_and_kill(slide: Path, out: Path, options: list[str], *, seconds: float) -> Killed | None:
    """Scan for so long, and kill; None if the scan has ended by then."""
    journal = out / slide.stem / WORK_NAME / "journal.jsonl"
    tiles, begun = _lines(journal), time.monotonic()
    kept_at: list[float] = []  # Processor time at which tiles were seen to be kept.
    process = start(slide, out, options)
    while time.monotonic() < begun + seconds:
        if process.poll() is not None:
            _finish(process)
            return None
        if (now := _lines(journal)) > tiles:
            tiles = now
            kept_at.append(_cpu_seconds(process.pid))
        time.sleep(_POLL_SECONDS)
    spent = _cpu_seconds(process.pid)
    process.kill()
    process.wait()
    # What comes before the first tile and after the last one is done again, files of results as well.
    kept = kept_at[-1] - kept_at[0] if kept_at else 0.0
    return Killed(time.monotonic() - begun, spent, spent - kept, _lines(journal))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # In user mode, and in the kernel for it.


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def files_of(out: Path) -> dict[str, object]:
    """Every file of a scan by its name; JSON without its times."""
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        content = path.read_bytes()
        is_json = path.suffix == ".json"
        found[str(path.relative_to(out))] = _untimed(json.loads(content)) if is_json else content
    found.pop("batch.html", None)  # It shows seconds.
    return found


def _untimed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _untimed(part) for key, part in value.items() if key not in TIMES}
    return [_untimed(part) for part in value] if isinstance(value, list) else value


def main() -> None:
    """Scan, kill, scan, kill, ..., compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8_000, help="height and width of the slide, px; all of it tissue")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stride", type=int, default=4, help="scan stride")
    parser.add_argument("--tile-size", type=int, help="side of a tile, px; the usual one if left out")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--export", action="append", default=[], help="a further file: zarr, dicom, grand-challenge")
    options = parser.parse_args()
    rng, arguments = random.Random(options.seed), ["--stride", str(options.stride), "--device", "cpu"]
    if options.tile_size is not None:
        arguments += ["--tile-size", str(options.tile_size)]
    for export in options.export:
        arguments += ["--export", export]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slide = _write_slide(folder, options.side, is_dicom="dicom" in options.export)
        begun = time.time()
        _finish(start(slide, folder / "whole", arguments))
        whole_seconds = time.time() - begun
        print(f"{options.side} x {options.side} px, stride {options.stride}: {whole_seconds:.0f} s left alone")
        print("| kill | after, s | processor, s | tiles kept | done again, s of it |", flush=True)
        print("| --- | --- | --- | --- | --- |", flush=True)
        out, again = folder / "out", []
        while len(again) < options.kills:
            killed = run_and_kill(slide, out, arguments, seconds=rng.uniform(0, whole_seconds))
            if killed is None:  # It has ended between two kills: the next ones hit another one.
                _compare(out, folder / "whole")
                out = folder / f"out-{len(again)}"
                continue
            again.append(killed.cpu_again)
            numbers = f"{killed.seconds:.1f} | {killed.cpu_seconds:.1f} | {killed.tiles} | {killed.cpu_again:.1f}"
            print(f"| {len(again)} | {numbers} |", flush=True)
        _finish(start(slide, out, arguments))
        _compare(out, folder / "whole")
    print(f"\nat most {max(again):.1f} s of processor time are done again")
    print("the files of every scan that ended equal those of the first")


def _write_slide(folder: Path, side: int, *, is_dicom: bool) -> Path:
    """A slide of tissue; as a DICOM series, which alone has results in DICOM, if that is wanted."""
    slide = folder / "slide.svs"
    write_slide(slide, side, side)
    if not is_dicom:
        return slide
    with open_slide(slide) as opened:
        pixels = opened.read(0, (0, 0, side, side))
    (folder / "series").mkdir()
    write_dicom_series(folder / "series", pyramid(pixels, 3), mpp=0.25)
    return folder / "series" / "level-0.dcm"


def _finish(process: subprocess.Popen[bytes]) -> None:
    """Exit unless the scan ends well: two scans that are refused have the same files too."""
    if code := process.wait():
        raise SystemExit(f"the scan ended with code {code}")


def _compare(out: Path, whole: Path) -> None:
    """Exit unless both folders hold the same files."""
    found, expected = files_of(out), files_of(whole)
    different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    # A scan that was finished before its last kill is skipped, and says so.
    if different and different != ["batch.json"]:
        raise SystemExit(f"not the files of an unbroken scan: {', '.join(different)}")


if __name__ == "__main__":
    main()
