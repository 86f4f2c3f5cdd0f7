"""A night with everything in it: a folder as laboratories have them, through the command line, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import save_model
from tests.conftest import require_system
from tests.factories.slides import damage_tile, texture, write_pyramid
from tests.networks.small_models import random_model

#: What the reason of each bad slide says, beside its name.
BAD = {
    "cut.svs": "the file is cut off at byte",
    "empty.svs": "the file is empty",
    "gone.svs": "No such file",
    "letter.svs": "neither a slide nor an image",
    "locked": "Permission denied",
    "silent.svs": "pass it with --mpp",
}
GOOD = ("good 1", "good 2", "hole")


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Good slides, one with a hole, and every kind of bad one."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for seed, name in enumerate(("good 1.svs", "good 2.svs", "silent.svs", "cut.svs")):
        mpp = None if name == "silent.svs" else 0.25
        write_pyramid(folder / name, texture(300, 280, seed=seed), levels=2, mpp=mpp, compression="jpeg")
    os.truncate(folder / "cut.svs", (folder / "cut.svs").stat().st_size // 2)
    write_pyramid(folder / "hole.svs", texture(640, 640, seed=9), levels=1, compression="jpeg")
    damage_tile(folder / "hole.svs", 12)  # The middle of 5 x 5.
    (folder / "empty.svs").touch()
    (folder / "letter.svs").write_text("Dear colleague,")
    (folder / "gone.svs").symlink_to(folder / "nowhere.svs")
    (folder / "locked").mkdir(mode=0)
    return folder


def run_night(slides: Path, model: Path) -> tuple[int, str, dict[str, dict[str, object]]]:
    """Exit code, stderr, and the entry of every slide in batch.json."""
    powers = "-dac_override,-dac_read_search"  # by which root reads all the same
    lesser = [require_system("setpriv"), "--bounding-set", powers, "--inh-caps", powers] if os.geteuid() == 0 else []
    out = slides.parent / "out"
    command = [*lesser, sys.executable, "-m", "service.cli", "scan", slides, "-r", "-o", out, "-m", model]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    entries = json.loads((out / "batch.json").read_text())["slides"]
    return done.returncode, done.stderr, {Path(entry["slide"]).name: entry for entry in entries}


@pytest.mark.slow
def test_a_night_with_everything_in_it(tmp_path: Path, slides: Path) -> None:
    model = tmp_path / "model"
    save_model(model, random_model(stride=4))
    code, stderr, entries = run_night(slides, model)
    assert code == 1
    assert "Traceback" not in stderr
    assert {name: entry["status"] for name, entry in entries.items()} == {
        **{f"{name}.svs": "ok" for name in GOOD},
        **dict.fromkeys(BAD, "failed"),
    }
    at_the_end = stderr[stderr.index("6 of 9 slides failed:") :].splitlines()[1:]
    for line, (name, reason) in zip(at_the_end, sorted(BAD.items()), strict=True):
        assert line.startswith(f"  {slides / name}: ")
        assert reason in line
        assert entries[name]["reason"] == line.strip()
    assert entries["good 1.svs"]["unreadable_mm2"] == 0
    # A TIFF tile of 128 px, and the cells of 64 px around it whose patches reach into it.
    assert 0.128**2 / 16 <= entries["hole.svs"]["unreadable_mm2"] <= 0.3**2 / 16  # type: ignore[operator]
    assert "mm2 more cannot be read" in stderr

    finished = {name: (tmp_path / "out" / name / "run.json").stat().st_mtime_ns for name in GOOD}
    write_pyramid(slides / "cut.svs", texture(300, 280, seed=3), levels=2)
    code, _, again = run_night(slides, model)
    assert code == 1
    assert {name: entry["status"] for name, entry in again.items()} == {
        **{f"{name}.svs": "skipped" for name in GOOD},
        **dict.fromkeys(BAD, "failed"),
        "cut.svs": "ok",
    }
    assert {name: (tmp_path / "out" / name / "run.json").stat().st_mtime_ns for name in GOOD} == finished
    (slides / "locked").chmod(0o700)
