"""A folder of odd names and broken files, in a locale without umlauts: all good slides done, all bad ones named."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tifffile

from models import save_model
from tests.conftest import require_system
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.factories.vendor import write_vms
from tests.factories.zarr import write_ome_zarr
from tests.networks.small_models import random_model

NFC, NFD = unicodedata.normalize("NFC", "Präparat.svs"), unicodedata.normalize("NFD", "Präparat.svs")
#: Bytes of names -> how batch.json says them.
ODD_NAMES = {
    b"M\xfcller.svs": r"M\xfcller.svs",
    b"\xff\xfe\x80.svs": r"\xff\xfe\x80.svs",
    NFC.encode(): NFC,
    NFD.encode(): NFD,
    b"s.tif": "s.tif",
    b"S.TIF": "S.TIF",
    b"Fall (1,0) [HE] {2}.svs": "Fall (1,0) [HE] {2}.svs",
    b"[red]a.svs": "[red]a.svs",
    b"two\nlines\tand 'quotes\".svs": "two\nlines\tand 'quotes\".svs",
    b"back\\slash.svs": "back\\slash.svs",
    b"\x1b[31mred.svs": "\x1b[31mred.svs",
    b"-o.svs": "-o.svs",
    b" spaces .svs": " spaces .svs",
    b"dots...svs": "dots...svs",
    b"<b>&amp;.svs": "<b>&amp;.svs",
    b"%41%2f.svs": "%41%2f.svs",
    "日本 \u202egnp.svs".encode(): "日本 \u202egnp.svs",
    b"batch.json.svs": "batch.json.svs",
    b"no suffix": "no suffix",
    b"x" * 251 + b".svs": "x" * 251 + ".svs",
}
#: Names -> what is said of them.
BROKEN = {
    "empty.svs": "the file is empty",
    "zeros.tif": "begins with zeros only",
    "page.svs": "a web page",
    "text.svs": "but text",
    "zip.svs": "zip",
    "packed.svs.gz": "packed",
    "gzip.svs": "gzip",
    "copy.svs.part": "unfinished copy",
    "noise.svs": "begins with the bytes",
    "cut.svs": "cut.svs: ",
    "chain.tif": "chain.tif: ",
    "huge.tif": "huge.tif: ",
    "alone.mrxs": "the folder alone/ with the slide's data must lie beside it",
    "cut.png": "cut.png: ",
    "dangling.svs": "No such file",
    "loop.svs": "symbolic links",
    "pipe.svs": "a named pipe, not a file",
    "socket.tif": "a socket, not a file",
    "device.svs": "a device, not a file",
    "folder.svs": "a folder, not a slide",
    "locked.svs": "Permission denied",
    "waits/a.vms": "a pipe or a device",
}


def write_good(folder: Path) -> dict[str, str]:
    """Good slides under odd names; what batch.json calls them."""
    plain = folder / "plain.svs"
    write_pyramid(plain, texture(150, 140), levels=1, mpp=0.25)
    for name in ODD_NAMES:
        shutil.copy(os.fsencode(plain), os.path.join(os.fsencode(folder), name))
    plain.unlink()
    pictures = pyramid(texture(140, 140), 2)
    series = Path(os.fsdecode(os.fsencode(folder) + b"/s\xe9rie"))
    series.mkdir()
    write_dicom_series(series, pictures)
    for number, file in enumerate(sorted(series.iterdir())):
        file.rename(series / f"IM{number:04}")
    (folder / "vms").mkdir()
    write_vms(folder / "vms" / "Fäll.vms", [texture(128, 256)] * 2, texture(16, 32))
    write_ome_zarr(Path(os.fsdecode(os.fsencode(folder) + b"/z\xfc.zarr")), pictures)
    further = {r"s\xe9rie/IM0000": "", "vms/Fäll.vms": "", r"z\xfc.zarr": ""}
    return {**dict.fromkeys(ODD_NAMES.values(), ""), **further}


def write_broken(folder: Path, sound: bytes) -> None:
    """Everything that lies in folders of slides and is none."""
    contents = {
        "empty.svs": b"",
        "zeros.tif": bytes(5000),
        "page.svs": b"<!DOCTYPE html><html><body>Please log in</body></html>",
        "text.svs": b"Dear colleague, the slides follow.\r\n",
        "packed.svs.gz": gzip.compress(sound),
        "gzip.svs": gzip.compress(sound),
        "copy.svs.part": sound[:5000],
        "noise.svs": bytes(range(128, 256)) * 9,
        "cut.svs": sound[: len(sound) // 3],
        "chain.tif": b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 3, 1, 9, 8),  # Its second page is its first.
        "alone.mrxs": b"\xff\xd8\xff\xe0" + bytes(100),
        "cut.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\2\0\0\0",
        "notes.txt": b"no slide",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder / "zip.svs", "w") as archive:
        archive.writestr("slide.svs", sound)
    tifffile.imwrite(folder / "huge.tif", shape=(16, 16, 3), dtype="uint8", photometric="rgb", tile=(16, 16))
    with tifffile.TiffFile(folder / "huge.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(2**31)  # type: ignore[union-attr]
        tiff.pages[0].tags["ImageLength"].overwrite(2**31)  # type: ignore[union-attr]
    (folder / "dangling.svs").symlink_to(folder / "nowhere.svs")
    (folder / "loop.svs").symlink_to(folder / "loop.svs")
    os.mkfifo(folder / "pipe.svs")
    (folder / "device.svs").symlink_to("/dev/zero")
    (folder / "folder.svs").mkdir()
    (folder / "locked.svs").write_bytes(sound)
    (folder / "locked.svs").chmod(0)
    (folder / "waits").mkdir()
    write_vms(folder / "waits" / "a.vms", [texture(128, 128)], texture(16, 32))
    picture = next(path for path in (folder / "waits").iterdir() if path.suffix == ".jpg")
    picture.unlink()
    os.mkfifo(picture)


def scan(folder: Path, out: Path, model: Path, *paths: str) -> subprocess.CompletedProcess[bytes]:
    """Scan in a C locale, without a right to read what may not be read."""
    powers = "-dac_override,-dac_read_search"  # by which root reads all the same
    lesser = [require_system("setpriv"), "--bounding-set", powers, "--inh-caps", powers] if os.geteuid() == 0 else []
    program = [*lesser, sys.executable, "-m", "service.cli"]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        [*program, "scan", *paths, "-o", out, "-m", model],
        cwd=folder,
        env=os.environ | ascii_only,
        capture_output=True,
        check=False,
        timeout=300,
    )


def test_odd_names_and_broken_files_end_no_batch(tmp_path: Path) -> None:
    folder, model = tmp_path / "slides", tmp_path / "model"
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe4out"))
    folder.mkdir()
    save_model(model, random_model(stride=4))
    good = write_good(folder)
    write_broken(folder, (folder / "s.tif").read_bytes())
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.tif"))
        below = [".", "vms", "waits", os.fsdecode(b"s\xe9rie")]
        done = scan(folder, out, model, *below)
    said = done.stderr.decode("ascii")
    assert "Traceback" not in said
    assert "\x1b" not in said
    ends = [line for line in said.splitlines() if " detections in " in line]
    assert len(ends) == len(good)  # Each on a line of its own.
    assert any(r" M\xfcller.svs: " in line for line in ends)
    assert any(r" two\nlines\tand 'quotes" in line for line in ends)
    assert done.returncode == 1
    assert done.stdout == os.fsencode(out / "batch.json") + b"\n"

    content = json.loads((out / "batch.json").read_bytes().decode("utf-8"), strict=True)
    assert (content["ok"], content["failed"]) == (len(good), len(BROKEN))
    entries: dict[str, dict[str, Any]] = {slide["slide"]: slide for slide in content["slides"]}
    assert {name for name, entry in entries.items() if entry["status"] == "ok"} == {*good}
    for name, reason in BROKEN.items():
        assert reason in entries[name]["reason"]
        assert entries[name]["reason"].startswith(name)
        assert entries[name]["traceback"] == ""
        assert f"  {entries[name]['reason']}" in said.splitlines()
    assert_results_keep_names(out, len(good))


def assert_results_keep_names(out: Path, count: int) -> None:
    """No two result folders are one, even where case and the form of umlauts do not count; each file can be read."""
    results = sorted(path.parent for path in out.rglob("run.json"))
    assert len(results) == count
    assert (out / os.fsdecode(b"M\xfcller") / "report.html").is_file()
    assert len({unicodedata.normalize("NFC", str(place)).casefold() for place in results}) == len(results)
    page = (out / "batch.html").read_bytes().decode("utf-8")
    assert page.count('<img alt="overview"') == count  # Each was found by its folder.
    for place in results:
        json.loads((place / "run.json").read_bytes().decode("utf-8"))
        json.loads((place / "tissue.geojson").read_bytes().decode("utf-8"))
        (place / "report.html").read_bytes().decode("utf-8")


@pytest.mark.slow
def test_odd_names_are_known_again(tmp_path: Path) -> None:
    folder, model, out = tmp_path / "slides", tmp_path / "model", tmp_path / "out"
    folder.mkdir()
    save_model(model, random_model(stride=4))
    good = write_good(folder)
    below = [".", "vms", os.fsdecode(b"s\xe9rie")]
    for status in ("ok", "skipped"):
        assert scan(folder, out, model, *below).returncode == 0
        assert json.loads((out / "batch.json").read_text(encoding="utf-8"))[status] == len(good)
