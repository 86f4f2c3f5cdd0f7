"""The command line, as a shell sees it: exit codes, what goes to stdout, what to stderr, what is left on disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from models import save_model
from tests.cli.commands import COMMAND, in_process, mitoscan, write_slide
from tests.conftest import require_system
from tests.networks.small_models import random_model

FILES = {"detections.geojson", "detections.csv", "map.ome.tiff", "overview.png", "run.json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, random_model(stride=4))
    return str(folder)


def test_a_scan_ends_with_its_files_and_says_where(tmp_path: Path, model: str) -> None:
    write_slide(tmp_path / "slides" / "a.svs")
    done = mitoscan("scan", tmp_path / "slides", "-o", tmp_path / "out", "--model", model)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out' / 'batch.json'}\n")
    assert {path.name for path in (tmp_path / "out" / "a").iterdir()} >= FILES
    assert "detections in" in done.stderr


def test_a_bad_slide_is_named_and_the_exit_code_is_1(tmp_path: Path, model: str) -> None:
    write_slide(tmp_path / "slides" / "a.svs")
    (tmp_path / "slides" / "bad.svs").write_text("no slide")
    missing = tmp_path / "gone.svs"
    done = mitoscan("scan", tmp_path / "slides", missing, "-o", tmp_path / "out", "--model", model)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert [any(name in line and "failed" in line for line in lines) for name in ("bad.svs", "gone.svs", "a.svs:")] == [
        True,
        True,
        False,
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "batch.html", "batch.json"]


def test_every_bad_slide_is_named_with_its_reason_at_the_end(tmp_path: Path, model: str) -> None:
    write_slide(tmp_path / "slides" / "c.svs")
    (tmp_path / "slides" / "a.svs").write_text("no slide")
    (tmp_path / "slides" / "b.svs").touch()
    code, _, stderr = in_process("scan", tmp_path / "slides", "-o", tmp_path / "out", "-m", model)
    *_, total, first, second = stderr.splitlines()
    assert (code, total) == (1, "2 of 3 slides failed:")
    assert first == f"  {tmp_path / 'slides' / 'a.svs'}: neither a slide nor an image that mitoscan knows, but text"
    assert second == f"  {tmp_path / 'slides' / 'b.svs'}: the file is empty"


def test_a_folder_that_may_not_be_read_is_named_and_the_others_go_on(tmp_path: Path, model: str) -> None:
    write_slide(tmp_path / "slides" / "a.svs")
    write_slide(tmp_path / "slides" / "locked" / "b.svs")
    (tmp_path / "slides" / "locked").chmod(0)
    powers = "-dac_override,-dac_read_search"  # by which root reads all the same
    program = require_system("setpriv")
    lesser = [program, "--bounding-set", powers, "--inh-caps", powers] if os.geteuid() == 0 else []
    inside = tmp_path / "slides" / "locked" / "b.svs"
    command = [*lesser, *COMMAND, "scan", tmp_path / "slides", inside, "-r", "-o", tmp_path / "out", "-m", model]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    (tmp_path / "slides" / "locked").chmod(0o700)
    assert "Traceback" not in done.stderr
    outcomes = json.loads((tmp_path / "out" / "batch.json").read_text())["slides"]
    assert [(Path(slide["slide"]).name, slide["status"]) for slide in outcomes] == [
        ("a.svs", "ok"),
        ("locked", "failed"),
        ("b.svs", "failed"),
    ]
    assert outcomes[1]["reason"] == f"{tmp_path / 'slides' / 'locked'}: Permission denied"
    assert outcomes[2]["reason"] == f"{inside}: Permission denied"
    assert done.returncode == 1


def test_memory_is_stated_before_the_first_slide(tmp_path: Path, model: str) -> None:
    slide = write_slide(tmp_path / "a.svs")
    _, _, stderr = in_process("scan", slide, "-o", tmp_path / "out", "-m", model, "--device", "cpu")
    assert re.match(r"memory: at most \d+\.\d GiB on cpu", stderr.splitlines()[0])


def test_a_tile_that_does_not_fit_is_refused_before_the_first_slide(tmp_path: Path, model: str) -> None:
    slide = write_slide(tmp_path / "a.svs")
    code, _, stderr = in_process("scan", slide, "-o", tmp_path / "out", "-m", model, "--tile-size", "65536")
    assert (code, len(stderr.splitlines())) == (1, 1)
    assert "tile_size = 65536 needs" in stderr


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(tmp_path: Path, model: str) -> None:
    slides = [write_slide(tmp_path / "slides" / name, 300) for name in ("a.svs", "b.svs")]
    out = tmp_path / "out"
    code, stdout, stderr = in_process("scan", *slides, "-o", out, "-m", model, "--dry-run")
    assert (code, stderr, out.exists()) == (0, "", False)
    first, second, total, memory, network = stdout.splitlines()
    for slide, line in zip(slides, (first, second), strict=True):
        assert line.startswith(f"{slide}: 0.01 mm2 to scan")
        assert "grid 300 x 300 px, 1 tiles, about 1 s" in line
    assert total == "total: 2 slides; 0.01 mm2 to scan, 2 tiles, about 1 s"
    assert memory.startswith("memory: at most ")
    assert network.startswith("network: ")


def test_a_dry_run_tells_what_is_done_and_what_would_fail(tmp_path: Path, model: str) -> None:
    arguments = ["scan", tmp_path / "slides", "-o", tmp_path / "out", "-m", model]
    write_slide(tmp_path / "slides" / "a.svs")
    assert in_process(*arguments)[0] == 0
    (tmp_path / "slides" / "b.svs").touch()
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*"))
    code, stdout, stderr = in_process(*arguments, "--dry-run")
    assert (code, "b.svs: the file is empty" in stderr) == (1, True)
    assert stdout.splitlines()[0].endswith("a.svs: already scanned")
    assert stdout.splitlines()[1].startswith("total: 0 slides, 1 already scanned, 1 would fail; 0.00 mm2")
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*")) == before


@pytest.mark.parametrize("option", [[], ["--manifest"]])
def test_a_manifest_names_slides_folders_and_mpp(tmp_path: Path, model: str, option: list[str]) -> None:
    write_slide(tmp_path / "slides" / "a.svs", mpp=None)
    (tmp_path / "slides.csv").write_text("path,id,mpp\nslides/a.svs,case 7,0.3\n")
    code, _, stderr = in_process("scan", *option, tmp_path / "slides.csv", "-o", tmp_path / "out", "-m", model)
    assert code == 0, stderr
    assert json.loads((tmp_path / "out" / "case 7" / "run.json").read_text())["mpp"] == 0.3


def test_a_scan_needs_a_slide(tmp_path: Path, model: str) -> None:
    code, _, stderr = in_process("scan", "-o", tmp_path / "out", "-m", model)
    assert (code, "PATH..." in stderr) == (2, True)


def test_verified_tiles_are_on_stderr_and_in_the_report(tmp_path: Path, model: str) -> None:
    slide = write_slide(tmp_path / "a.svs", 300)
    arguments = ["scan", slide, "-o", tmp_path / "out", "-m", model, "--tile-size", "128"]
    code, _, stderr = in_process(*arguments, "--verify-tiling")
    said = json.loads((tmp_path / "out" / "a" / "run.json").read_text())["verification"]
    assert (code, said["places"], said["holds"]) == (0, 9, True)
    assert f"shifted tiles differ by at most {said['max_difference']:.1e}" in stderr


def test_recursive_keeps_the_folders_below(tmp_path: Path, model: str) -> None:
    write_slide(tmp_path / "slides" / "case 1" / "a.svs")
    write_slide(tmp_path / "slides" / "case 2" / "a.svs")
    out = tmp_path / "out"
    code, _, stderr = in_process("scan", tmp_path / "slides", "-o", out, "-m", model)
    assert (code, "--recursive" in stderr, out.exists()) == (1, True, False)
    code, _, _ = in_process("scan", tmp_path / "slides", "-o", out, "-m", model, "-r")
    assert code == 0
    assert sorted(str(path.relative_to(out)) for path in out.rglob("run.json")) == [
        "case 1/a/run.json",
        "case 2/a/run.json",
    ]


def test_missing_mpp_says_which_option_to_pass(tmp_path: Path, model: str) -> None:
    slide = write_slide(tmp_path / "a.svs", 300, mpp=None, levels=2)
    code, _, stderr = in_process("scan", slide, "-o", tmp_path / "out", "-m", model)
    assert (code, "--mpp" in stderr) == (1, True)
    code, _, _ = in_process("scan", slide, "-o", tmp_path / "out", "-m", model, "--mpp", "0.5")
    report = json.loads((tmp_path / "out" / "a" / "run.json").read_text())
    assert (code, report["mpp"], report["mpp_source"]) == (0, 0.5, "override")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--stride", "0"], "stride = 0"),
        (["--engine", "magic"], "magic"),
        (["--gpu-form", "magic"], "gpu_form = 'magic'"),
        (["--precision", "float16"], "precision = 'float16'"),
        (["--device", "toaster"], "toaster"),
        (["--threshold", "1.5"], "threshold = 1.5"),
        (["--mpp", "-1"], "mpp = -1"),
    ],
)
def test_impossible_options_are_one_line_that_names_them(
    tmp_path: Path, model: str, arguments: list[str], reason: str
) -> None:
    slide = write_slide(tmp_path / "a.svs", 60)
    code, _, stderr = in_process("scan", slide, "-o", tmp_path / "out", "--model", model, *arguments)
    assert code == 1
    assert [reason in line for line in stderr.splitlines()] == [True]
    assert not list((tmp_path / "out").glob("*/*"))


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path, model: str) -> None:
    slide = write_slide(tmp_path / "a.svs", 60)
    (tmp_path / "out").write_text("a file")
    code, stdout, stderr = in_process("scan", slide, "-o", tmp_path / "out", "--model", model)
    assert (code, stdout, len(stderr.splitlines())) == (1, "", 1)
    assert "out" in stderr


def test_missing_arguments_are_a_mistake_of_use(tmp_path: Path) -> None:
    code, _, stderr = in_process("scan", tmp_path)
    assert (code, "--out" in stderr) == (2, True)


def leftovers(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob("*") if path.name in FILES or path.name.endswith(".part"))


@pytest.mark.parametrize(("sent", "codes"), [(signal.SIGINT, {1, 130}), (signal.SIGTERM, {143})])
def test_an_interrupted_scan_looks_unfinished_and_can_be_repeated(
    tmp_path: Path, model: str, sent: signal.Signals, codes: set[int]
) -> None:
    out = tmp_path / "out"
    arguments = ["scan", write_slide(tmp_path / "a.svs", 700), "-o", out, "-m", model]
    slowly = ["--stride", "1", "--tile-size", "64"]
    command = [*COMMAND, *map(str, arguments), *slowly]
    # A shell that starts the tests in the background has them ignore SIGINT, and their children with them.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        deadline = time.monotonic() + 60
        # The map is begun: the scan is under way.
        while not list(out.rglob(".*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(sent)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode in codes, stderr
    assert "Traceback" not in stderr
    assert leftovers(out) == []
    assert in_process(*arguments, "--stride", "8")[0] == 0
    assert [path.name for path in (out / "a").iterdir() if path.name.startswith(".")] == []
