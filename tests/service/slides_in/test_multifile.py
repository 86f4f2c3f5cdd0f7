"""A slide in several files, sent as a zip or as a folder, is scanned as it would be where it came from."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest

from models import load_model
from scanner import scan
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid
from tests.factories.vendor import write_mirax, write_vms
from tests.service.fields import make_field, png
from tests.service.server_process import Server
from tests.service.slides_in.test_archives import zipped

SIDE = 256


@pytest.fixture(scope="module")
def mirax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with slide-7.mrxs and its files."""
    folder = tmp_path_factory.mktemp("mirax")
    field = make_field(60, 2 * SIDE, 2 * SIDE)
    tiles = {
        (row, col): field[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE]
        for row in (0, 1)
        for col in (0, 1)
    }
    write_mirax(folder / "slide-7.mrxs", tiles, grid=(2, 2))
    return folder


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a series of two levels."""
    folder = tmp_path_factory.mktemp("dicom")
    write_dicom_series(folder, pyramid(make_field(61, 512, 384), 2))
    return folder


def files_of(folder: Path, below: str = "") -> dict[str, bytes]:
    return {
        below + str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def detect_folder(client: httpx.Client, files: dict[str, bytes], **query: str) -> httpx.Response:
    return client.post("/detect", files=[("file", (name, content)) for name, content in files.items()], params=query)


def scores(detections: list) -> list[tuple[float, float, float]]:
    return [(found["x"], found["y"], found["score"]) for found in detections]


@pytest.mark.parametrize("kind", ["mirax", "dicom"])
def test_zip_and_folder_are_the_slide(
    server: Server, models_folder: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    folder = request.getfixturevalue(kind)
    clutter = {"__MACOSX/._x": b"x", ".DS_Store": b"x"}
    archive = zipped(files_of(folder, "case 1/") | clutter)
    answer = server.client.post("/detect", content=archive, params={"threshold": "0.2"})
    job = server.wait(answer.json()["id"])
    assert job["status"] == "SUCCEEDED", job["problem"]
    leader = next(iter(sorted(folder.glob("*.mrxs" if kind == "mirax" else "*.dcm"))))
    alone = scan(leader, load_model(models_folder / "tiny"), threshold=0.2)
    assert scores(job["detections"]) == [(found.col, found.row, found.score) for found in alone.detections]
    assert job["count"] > 0
    again = detect_folder(server.client, files_of(folder), threshold="0.2").json()
    assert again["cached"], "the same files are the same slide, however they came"
    assert server.client.get(f"/jobs/{job['id']}/slide.json").json()["width"] == job["image"]["width"]


@pytest.mark.parametrize("kind", ["vms", "mirax", "dicom"])
@pytest.mark.parametrize(
    "name",
    ["CMU-1-40x - 2010-01-12 13.24.05", "Präparat #1, [b] 50% & 'c'", "Pra\u0308parat; d=e", "切片 1", "-x", "a..b"],
    ids=["scanner's", "umlaut", "umlaut of two signs", "Chinese", "dash", "dots"],
)
def test_a_slide_keeps_the_names_of_its_files(
    server: Server, tmp_path: Path, dicom: Path, kind: str, name: str
) -> None:
    folder = tmp_path / "slide"
    folder.mkdir()
    field = make_field(64, SIDE, SIDE)
    if kind == "vms":
        write_vms(folder / f"{name}.vms", [field, field], np.ascontiguousarray(field[::4, ::4]))
    elif kind == "mirax":
        write_mirax(folder / f"{name}.mrxs", {(0, 0): field, (0, 1): field}, grid=(1, 2))
    else:
        for number, path in enumerate(sorted(dicom.iterdir())):
            shutil.copy(path, folder / f"{name} {number}")
    files = files_of(folder, f"{name}/")
    sent = zipped(files)
    for archive in (sent, _without_flag(sent)):
        answer = server.client.post("/uploads", files={"file": ("slide.zip", archive)})
        assert answer.status_code in {200, 201}, answer.text
    width = {"vms": 2 * SIDE, "mirax": 2 * SIDE, "dicom": 384}[kind]
    job = server.client.post("/detect", content=sent, params={"threshold": "0.2"}).json()
    assert server.wait(job["id"])["image"]["width"] == width


def _without_flag(archive: bytes) -> bytes:
    """The zip without the bit that says that its names are UTF-8."""
    found = bytearray(archive)
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = found.find(magic)
        while start >= 0:
            found[start + place + 1] &= ~0x08
            start = found.find(magic, start + 4)
    return bytes(found)


def test_dicom_results_can_be_dicom(server: Server, dicom: Path) -> None:
    pytest.importorskip("highdicom")
    answer = detect_folder(server.client, files_of(dicom), export="dicom", threshold="0.2")
    job = server.wait(answer.json()["id"])
    assert job["status"] == "SUCCEEDED", job["problem"]
    written = server.client.get(job["links"]["annotations.dcm"])
    assert written.headers["content-type"] == "application/dicom"
    assert written.content[128:132] == b"DICM"


def test_a_zip_of_one_field_is_that_field(server: Server) -> None:
    field = png(make_field(62))
    plain = server.client.post("/detect", content=field).json()
    zipped_field = server.client.post("/detect", content=zipped({"a/field.png": field})).json()
    assert zipped_field["cached"]
    assert zipped_field["detections"] == plain["detections"]


def test_what_is_not_one_slide_is_refused(server: Server, mirax: Path) -> None:
    files = files_of(mirax)
    field = png(make_field(63))
    leader = {"slide-7.mrxs": files["slide-7.mrxs"]}
    for bad, status in (
        ({"a.png": field, "b.png": field}, 415),
        (leader, 422),
        (files | {"other.mrxs": b"x"}, 415),
        (leader | {f"slide-7/{'a' * 250}.ini": b"x"}, 415),
        (files | {"slide-7/Slidedat.ini": b"[HIERARCHICAL]\nINDEXFILE = ../../../other/Index.dat\n"}, 415),
        (files | {"slide-7/Slidedat.ini": b"[DATAFILE]\r\nFILE_0=/etc/passwd"}, 415),
        ({"a.vms": b"[Virtual Microscope Specimen]\nImageFile(1,0)= \\x2fetc\\x2fpasswd\n", "b.jpg": b"x"}, 415),
        ({"a.zip": zipped({"b.png": field})}, 415),
    ):
        answer = server.client.post("/detect", content=zipped(bad))
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code == status, (list(bad), answer.text)
    alone = server.client.put("/uploads/slide-7.mrxs", content=leader["slide-7.mrxs"])
    assert alone.status_code == 422
    assert "its folder too" in alone.json()["detail"]
    evil = detect_folder(server.client, {"../../outside-of-uploads.png": field, "b.png": field})
    assert evil.status_code == 400
    assert not list((server.folder / "data" / "uploads" / "incoming").iterdir())
    assert not list(server.folder.parent.rglob("outside-of-uploads*"))
