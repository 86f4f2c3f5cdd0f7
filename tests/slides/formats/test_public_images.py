"""Images that ship inside installed packages: opened as other readers show them, or refused by name."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.factories.public_images import Verdict, images_in, judge, packages
from tests.factories.slides import texture, write_pyramid

PACKAGES = packages()
#: Seconds; the largest takes half of one.
PATIENCE = 20.0


@pytest.mark.parametrize("package", PACKAGES or [pytest.param("", marks=pytest.mark.skip("no package has images"))])
def test_images_of_packages_are_right_or_refused_by_name(package: str) -> None:
    verdicts = []
    for path in PACKAGES[package]:
        start = time.monotonic()
        verdicts.append(judge(path))
        assert time.monotonic() - start < PATIENCE, path
    assert len(verdicts) == len(PACKAGES[package])
    assert [verdict.path for verdict in verdicts if not verdict.refusal and not verdict.oracle] == []


def test_the_sweep_sees_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, texture(64, 64), levels=1, style="generic")
    assert images_in(tmp_path) == [path]
    assert judge(path) == Verdict(path, oracle="tifffile")
    monkeypatch.setattr("scanner.slides.tiff.slide.TiffSlide.read", lambda self, level, box: texture(64, 64, seed=1))
    with pytest.raises(AssertionError, match="differs from tifffile"):
        judge(path)


def test_no_library_writes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "far.tif").write_bytes(b"II*\x00\xff\xff\xff\x7f" + bytes(100))
    write_pyramid(tmp_path / "wrong.tif", texture(64, 64), levels=1, style="generic", tile=(16, 16))
    content = bytearray((tmp_path / "wrong.tif").read_bytes())
    place = content.index(b"\x44\x01\x04\x00\x10")  # TileOffsets, LONG, 16 of them
    content[place + 4] = 15
    (tmp_path / "wrong.tif").write_bytes(content)
    script = (
        "import sys\nfrom contextlib import suppress\nfrom scanner.errors import SlideError\n"
        "from scanner.slides import open_slide\n"
        "for name in sys.argv[1:]:\n    with suppress(SlideError):\n        open_slide(name).close()\n"
    )
    names = [str(tmp_path / name) for name in ("far.tif", "wrong.tif")]
    run = subprocess.run([sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
