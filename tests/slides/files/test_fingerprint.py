"""fingerprint: other bytes, other identity; for slides of several files too."""

from __future__ import annotations

from pathlib import Path

from scanner.slides.files.fingerprint import fingerprint
from tests.factories.slides import pyramid, texture
from tests.factories.vendor import write_mirax
from tests.factories.zarr import write_ome_zarr


def test_a_file_is_known_by_its_size_and_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "slide"
    content = bytearray(3 << 20)
    seen = set()
    for place in (None, 0, -1):
        if place is not None:
            content[place] += 1
        path.write_bytes(content)
        seen.add(fingerprint(path))
    path.write_bytes(content + b"x")
    assert len(seen | {fingerprint(path)}) == 4


def test_a_mirax_slide_is_known_by_its_folder_too(tmp_path: Path) -> None:
    write_mirax(tmp_path / "slide.mrxs", {(0, 0): texture(64, 64)}, grid=(2, 2))
    before = fingerprint(tmp_path / "slide.mrxs")
    assert fingerprint(tmp_path / "slide.mrxs") == before
    with (tmp_path / "slide" / "Data0000.dat").open("ab") as file:
        file.write(b"more")
    assert fingerprint(tmp_path / "slide.mrxs") != before


def test_a_folder_is_known_by_its_files_and_metadata(tmp_path: Path) -> None:
    levels = pyramid(texture(90, 80), 2)
    seen = set()
    for name, mpp in (("a", 0.25), ("b", 0.26)):
        write_ome_zarr(tmp_path / name, levels, mpp=mpp)
        seen.add(fingerprint(tmp_path / name))
    next((tmp_path / "b" / "s0" / "c").rglob("[0-9]*")).rename(tmp_path / "b" / "s0" / "lost")
    write_ome_zarr(tmp_path / "c", levels)
    assert fingerprint(tmp_path / "c") in seen
    assert len(seen | {fingerprint(tmp_path / "b")}) == 3
