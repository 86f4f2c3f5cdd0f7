"""Whatever is wrong with a request, the answer is a problem with the right status, and the service lives on."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.service.api.problems import problem
from tests.service.fields import make_field, png
from tests.service.server_process import Server


def truncated_png() -> bytes:
    return png(make_field(7))[:2000]


def huge_png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5s", 13, b"IHDR", 50_000, 50_000, b"\x08\x02\0\0\0") + b"\0" * 64


def tiff_with_a_loop() -> bytes:
    entry = struct.pack("<HHII", 256, 4, 1, 64) + struct.pack("<HHII", 257, 4, 1, 64)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entry + struct.pack("<I", 8)


def slide_without_mpp() -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for step in (1, 2):
            pixels = np.ascontiguousarray(make_field(8, 512, 512)[::step, ::step])
            writer.write(pixels, tile=(128, 128), photometric="rgb", subfiletype=step - 1)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not an image", 415),
        (b"<html><script>alert(1)</script></html>", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"PK\x03\x04" + b"\0" * 60, 422),
        (b"GIF89a" + b"\0" * 60, 415),
        (b"\x89PNG\r\n\x1a\n", 422),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", 422),
        (b"II*\0" + b"\xff" * 20, 422),
        (b"II*\0\x08\0\0\0", 422),
        (truncated_png(), 422),
        (huge_png(), 413),
        (tiff_with_a_loop(), 422),
        (slide_without_mpp(), 422),
    ],
)
def test_what_is_not_a_slide_is_refused_with_its_reason(server: Server, body: bytes, status: int) -> None:
    answer = server.client.post("/detect", content=body)
    found = problem(answer, status)
    assert found["detail"]
    assert server.client.get("/healthz").json() == {"status": "ok"}


def field_with_an_unknown_unit() -> bytes:
    file = io.BytesIO()
    description = "ImageJ=1.54f\nunit=furlong\n"
    pixels = make_field(8, 160, 200)
    tifffile.imwrite(file, pixels, photometric="rgb", metadata=None, description=description, resolution=(4, 4))
    return file.getvalue()


def test_an_mpp_that_is_stated_and_unusable_is_not_assumed(client: httpx.Client) -> None:
    content = field_with_an_unknown_unit()
    assert "'furlong', which is unknown" in problem(client.post("/detect", content=content), 422)["detail"]
    answer = client.post("/detect", content=content, params={"mpp": 0.25})
    assert answer.json()["image"]["mpp_source"] == "override"


def test_slide_without_mpp_says_what_to_pass(client: httpx.Client) -> None:
    assert "mpp" in problem(client.post("/detect", content=slide_without_mpp()), 422)["detail"]
    assert client.post("/detect", content=slide_without_mpp(), params={"mpp": 0.25}).status_code == 200


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_every_pixel_format_is_scanned_or_refused(client: httpx.Client, mode: str) -> None:
    image = Image.fromarray(make_field(9, 64, 64))
    image = Image.fromarray(np.zeros((64, 64), np.uint16)) if mode == "I;16" else image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    answer = client.post("/detect", content=buffer.getvalue())
    assert answer.status_code in {200, 415, 422}, answer.text
    if answer.status_code != 200:
        problem(answer, answer.status_code)


def test_one_pixel_is_a_slide(client: httpx.Client) -> None:
    assert client.post("/detect", content=png(np.full((1, 1, 3), 128, np.uint8))).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["../../../evil.png", "/etc/cron.d/evil", "..\\..\\evil", "a\0b.png", "x" * 5000, "\r\nX: y", "CON", "<script>"],
)
def test_file_names_never_become_paths(server: Server, name: str) -> None:
    before = set(server.folder.parent.rglob("*evil*"))
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\n'
    body += png(make_field(1)) + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = server.client.post("/detect", content=body, headers=headers)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        shown = answer.json()["name"]
        assert len(shown) <= 200
        assert not {"/", "\\", "\0", "\n", "\r"} & set(shown)
    assert set(server.folder.parent.rglob("*evil*")) == before


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        ),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx'),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A" * 10_000 + b": x\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"garbage without any boundary"),
        ("application/json", b"{"),
        ("application/json", b""),
        ("application/json", b"\xff\xfe"),
    ],
)
def test_a_body_that_makes_no_sense_is_a_bad_request(client: httpx.Client, content_type: str, body: bytes) -> None:
    problem(client.post("/detect", content=body, headers={"Content-Type": content_type}), 400)


@pytest.mark.parametrize("body", [b"[]", b"null", b"NaN", b'{"source": {}}', b'{"source": {"path": 1}}', b'{"x": 1}'])
def test_json_of_another_shape_is_not_valid(client: httpx.Client, body: bytes) -> None:
    found = problem(client.post("/detect", content=body, headers={"Content-Type": "application/json"}), 422)
    assert found["errors"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ({"path": "/etc/passwd"}, 403),
        ({"path": "../data/store.sqlite"}, 403),
        ({"path": "nothing.svs"}, 404),
        ({"path": "a\0b"}, 400),
        ({"upload": "0" * 64}, 404),
        ({"upload": "../../etc"}, 422),
        ({"url": "http://169.254.169.254/latest/meta-data"}, 403),
        ({"url": "file:///etc/passwd"}, 403),
        ({"url": "http://[::1"}, 403),
        ({"path": "x", "url": "y"}, 422),
    ],
)
def test_sources_outside_the_allow_lists_are_refused(client: httpx.Client, source: dict, status: int) -> None:
    problem(client.post("/detect", json={"source": source}), status)


def test_a_link_out_of_the_allowed_folder_is_refused(server: Server) -> None:
    link = server.folder / "slides" / "link.png"
    link.symlink_to(server.folder / "data" / "store.sqlite")
    problem(server.client.post("/detect", json={"source": {"path": "link.png"}}), 403)


def test_more_bytes_than_the_cap_are_refused_and_leave_nothing(server: Server) -> None:
    def chunks():
        yield png(make_field(1))
        for _ in range(60):
            yield bytes(100_000)

    problem(server.client.post("/detect", content=chunks()), 413)
    problem(server.client.post("/detect", content=bytes(4_000_000)), 413)
    assert list((server.folder / "data" / "uploads" / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"threshold": "2"}, 422),
        ({"threshold": "nan"}, 422),
        ({"threshold": "x"}, 422),
        ({"stride": "0"}, 422),
        ({"stride": "65"}, 422),
        ({"stride": "1.5"}, 422),
        ({"mpp": "0"}, 422),
        ({"mpp": "inf"}, 422),
        ({"mpp": "-1"}, 422),
        ({"model": "../tiny"}, 422),
        ({"model": "nobody"}, 404),
        ({"precision": "float16"}, 422),
        ({"treshold": "0.9"}, 422),
    ],
)
def test_settings_are_bounded(client: httpx.Client, query: dict, status: int) -> None:
    problem(client.post("/detect", content=png(make_field(1)), params=query), status)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/jobs/nobody", 404),
        ("GET", "/jobs/..%2f..%2fetc", 404),
        ("GET", "/jobs/nobody/files/run.json", 404),
        ("GET", "/jobs/nobody/events", 404),
        ("PUT", "/detect", 405),
        ("POST", "/jobs", 405),
        ("GET", "/jobs?limit=0", 422),
        ("GET", "/jobs?state=LOST", 422),
        ("DELETE", "/jobs/nobody", 404),
    ],
)
def test_every_error_is_a_problem(client: httpx.Client, method: str, path: str, status: int) -> None:
    problem(client.request(method, path), status)


def test_a_failed_job_says_why(server: Server) -> None:
    job = server.wait(server.submit(truncated_png()))
    assert job["status"] == "FAILED"
    assert job["problem"]["status"] == 422
    assert job["detections"] is None
    problem(server.client.get(f"/jobs/{job['id']}/files/run.json"), 409)
    problem(server.client.get(f"/jobs/{job['id']}/detections"), 409)
    assert not (Path(server.folder) / "data" / "results" / "work" / job["id"]).exists()
