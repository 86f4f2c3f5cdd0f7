"""A slide that comes from a DICOMweb server, and its annotations that go back there: both with a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

from service.access.limits import Allowance, TooLargeError
from service.jobs.stow import StoreFailedError, read_answer
from service.settings import Settings
from service.slides_in import store_slide
from service.slides_in.dicomweb import instance_name, is_series
from service.slides_in.multipart import BadRequestError, Multipart
from service.slides_in.store_slide import receive_files
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid
from tests.service.fields import make_field, png
from tests.service.local_servers import WebhookReceiver
from tests.service.orthanc import Orthanc
from tests.service.server_process import Server, until
from tests.service.slides_in.test_multifile import detect_folder, files_of

highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")
pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")

QUERY = {"threshold": "0.2"}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a series of two levels."""
    folder = tmp_path_factory.mktemp("series")
    write_dicom_series(folder, pyramid(make_field(65, 512, 384), 2))
    return folder


@pytest.fixture(scope="module")
def pacs(orthanc: Orthanc, series: Path) -> DICOMwebClient:
    """Another client of the DICOMweb server, where the series is stored."""
    orthanc.start()
    session = create_session_from_user_pass(Orthanc.USER, Orthanc.PASSWORD)
    session.trust_env = False
    client = DICOMwebClient(orthanc.address, session=session)
    client.store_instances([pydicom.dcmread(path) for path in sorted(series.iterdir())])
    return client


def is_delivered(server: Server, job_id: str) -> dict:
    """What became of the annotations of a job, once there is no further attempt."""

    def ended() -> dict | None:
        told = server.client.get(f"/jobs/{job_id}").json()["stored"]
        return None if told["status"] == "waiting" else told

    return until(ended, server)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_series_is_fetched_scanned_and_annotated(
    server: Server, orthanc: Orthanc, pacs: DICOMwebClient, series: Path
) -> None:
    (found,) = pacs.search_for_series(search_filters={"Modality": "SM"})
    study, uid = (found[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    source = {"source": {"url": f"{orthanc.address}/studies/{study}/series/{uid}"}}
    asked = server.client.post("/detect", json=source, params={**QUERY, "store": orthanc.address})
    assert asked.status_code in {200, 202}, asked.text
    job = server.wait(asked.json()["id"])
    assert job["status"] == "SUCCEEDED", job["problem"]
    sent = server.wait(detect_folder(server.client, files_of(series), **QUERY).json()["id"])
    assert job["detections"] == sent["detections"] != []
    stored = is_delivered(server, job["id"])
    assert (stored["status"], stored["attempts"]) == ("stored", 1), stored

    place = stored["url"].split("/")
    read = pacs.retrieve_instance(*place[-5::2])
    groups = highdicom.ann.MicroscopyBulkSimpleAnnotations.from_dataset(read).get_annotation_groups()
    marked = [group for group in groups if group.label.startswith("Mitosis")]
    points = {tuple(point - 0.5) for group in marked for (point,) in group.get_graphic_data("2D")}
    assert points == {(detection["x"], detection["y"]) for detection in job["detections"]}
    assert (read.StudyInstanceUID, job["name"]) == (study, uid)

    again = server.client.post("/detect", json=source, params={**QUERY, "store": orthanc.address}).json()
    assert server.wait(again["id"])["cached"]
    assert is_delivered(server, again["id"])["status"] == "stored"
    assert len(pacs.search_for_series(search_filters={"Modality": "ANN"})) == 1, "a second delivery is the same object"


def test_a_series_that_is_not_there_fails_with_that_reason(server: Server, orthanc: Orthanc) -> None:
    orthanc.start()
    answer = server.client.post("/detect", json={"source": {"url": f"{orthanc.address}/studies/1.2/series/3.4"}})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mitoscan:source-not-found"), answer.text


def test_a_server_that_does_not_store_is_asked_again_and_then_told_in_the_job(
    server: Server, receiver: WebhookReceiver, series: Path
) -> None:
    store = f"{receiver.address}/stow/fail-9"
    job = server.wait(detect_folder(server.client, files_of(series), **QUERY, store=store).json()["id"])
    told = is_delivered(server, job["id"])
    assert job["status"] == "SUCCEEDED"
    assert (told["status"], told["attempts"]) == ("failed", 3)
    assert "answered 503" in told["detail"]
    (headers, body), *_ = receiver.wait("/stow/fail-9/studies", 3)
    assert int(headers["content-length"]) == len(body)
    assert "authorization" not in headers, "another server learns no password"
    assert body.count(b"DICM") == 1


@pytest.mark.parametrize("place", ["{address}/other", "{address}/stow/../other", "ftp://stow/", "{address}/stow/a?b"])
def test_annotations_go_nowhere_beside_the_allow_list(server: Server, receiver: WebhookReceiver, place: str) -> None:
    query = {"store": place.format(address=receiver.address)}
    answer = server.client.post("/detect", content=png(make_field(1)), params=query)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:mitoscan:store-forbidden")


def test_only_a_dicom_slide_has_annotations_to_store(server: Server, receiver: WebhookReceiver) -> None:
    query = {"store": f"{receiver.address}/stow/"}
    answer = server.client.post("/detect", content=png(make_field(1)), params=query)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:mitoscan:export-impossible")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://pacs/dicom-web/studies/1.2/series/3.4", True),
        ("https://pacs/a/dicomWeb/studies/1.2/series/3.4/?x=1", True),
        ("https://pacs/dicom-web/studies/1.2/series/3.4/instances/5.6", False),
        ("https://pacs/dicom-web/studies/1.2", False),
        ("s3://slides/studies/1.2/series/3.4", False),
    ],
)
def test_the_address_of_a_series_is_known(url: str, expected: bool) -> None:
    assert is_series(url) is expected


def receive(body: bytes, folder: Path) -> store_slide.StoredSlide:
    settings = Settings(data=folder, min_free_bytes=0)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    parts = Multipart('multipart/related; type="application/dicom"; boundary=b', instance_name)
    return asyncio.run(receive_files(chunks(), settings, allowance=Allowance(10**7), body=parts))


def test_a_series_that_breaks_off_or_has_too_many_files_is_not_stored(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % file for file in files_of(series).values()]
    whole = b"".join(parts) + b"--b--\r\n"
    assert receive(whole, tmp_path / "whole").path.endswith(".dcm")
    for cut in (len(whole) // 3, len(parts[0]) + 20, len(b"".join(parts))):
        with pytest.raises(BadRequestError):
            receive(whole[:cut], tmp_path / "cut")
    monkeypatch.setattr(store_slide, "MAX_FILES", 1)
    with pytest.raises(TooLargeError):
        receive(whole, tmp_path / "cut")
    assert [path for path in (tmp_path / "cut").rglob("*") if path.is_file()] == []


STORED = b'{"00081199": {"vr": "SQ", "Value": [{"00081190": {"vr": "UR", "Value": ["https://pacs/x"]}}]}}'
REFUSED = b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [%d]}}]}}'


def test_what_a_server_answers_is_believed_only_if_it_says_what_it_has_stored() -> None:
    assert read_answer(200, STORED) == "https://pacs/x"
    assert read_answer(202, STORED.replace(b"00081190", b"00080000")) is None
    assert read_answer(409, REFUSED % 0x0111) is None, "it has the annotations already"
    for status, body in (
        (200, b""),
        (200, b"<html>sign in"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"00081199": {"Value": 1}}'),
        (503, STORED),
        (202, REFUSED % 0xA700),
        (409, b'{"00081198": {"Value": [{}]}}'),
        (200, b"[" * 100_000),
    ):
        with pytest.raises(StoreFailedError):
            read_answer(status, body)
