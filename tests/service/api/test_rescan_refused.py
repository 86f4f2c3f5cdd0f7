"""What is refused of a rescan and why, and what a rescan takes over from its job: by an API without a worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from service.access.keys import hash_key
from service.api.app import create_app
from service.jobs import lifecycle
from service.settings import Settings
from service.slides_in.region import MAX_CORNERS
from tests.service.api.problems import problem
from tests.service.api.regions import polygon
from tests.service.fields import make_field, make_tiny_model, png

KEYS = {name: f"submit:{name}:{hash_key(name)}" for name in ("pathology", "dermatology")} | {
    "reader": f"read:pathology:{hash_key('reader')}",
    "root": f"admin:{hash_key('root')}",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, and the same with another name and threshold."""
    folder = tmp_path_factory.mktemp("two-models")
    make_tiny_model(folder)
    shutil.copytree(folder / "tiny", folder / "other")
    card = (folder / "other" / "card.toml").read_text()
    (folder / "other" / "card.toml").write_text(card.replace('"tiny"', '"other"'))
    return folder


@pytest.fixture
def service(tmp_path: Path, models: Path) -> Iterator[TestClient]:
    """An API without a worker: jobs wait."""
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "a.png").write_bytes(png(make_field(303)))
    settings = Settings(
        data=tmp_path / "data",
        models=models,
        default_model="tiny",
        api_keys=KEYS,
        slide_folders=(tmp_path / "slides",),
        max_client_jobs=3,
        min_free_bytes=1,
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1", headers={"X-API-Key": "pathology"}) as client:
        yield client


def sent(service: TestClient, **query: Any) -> dict:
    answer = service.post("/detect", content=png(make_field(303)), params=query, headers={"Prefer": "respond-async"})
    return answer.raise_for_status().json()


REGION = polygon(0, 0, 100, 80)
BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [90, 90], [90, 0], [0, 90], [0, 0]]]}
MANY = {"type": "Polygon", "coordinates": [[[0, 0], *([number % 200, 9] for number in range(MAX_CORNERS + 1)), [0, 0]]]}


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (polygon(0, 0, 201, 80), "corner 2 at (201.0, 0.0) lies off the slide, which has 200 x 160 px"),
        (polygon(0, 0, 1e9, 80), "less than or equal to 1000000"),
        (polygon(-1, 0, 100, 80), "greater than or equal to 0"),
        (BOWTIE, "meets itself: the side (0.0, 0.0) to (90.0, 90.0)"),
        (polygon(5, 5, 5, 80), "encloses nothing"),
        (polygon(1, 1, 3, 3), "draw one of at least 64 px a side"),
        (MANY, f"at most {MAX_CORNERS + 1} items"),
        ({"type": "Polygon", "coordinates": []}, "at least 1 item"),
        ({"type": "Polygon", "coordinates": [REGION["coordinates"][0]] * 2}, "at most 1 item"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [0, 0]]]}, "at least 4 items"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, "9"], [0, 0]]]}, "valid number"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, True], [0, 0]]]}, "valid number"),
        ({"type": "Point", "coordinates": [1, 2]}, "'Polygon', 'Feature'"),
        ({"type": "Feature", "geometry": None}, "region.Feature.geometry"),
        ("POLYGON((0 0))", "region"),
        (None, "region"),
    ],
)
def test_what_is_no_region_of_the_slide_is_refused(service: TestClient, region: Any, words: str) -> None:
    where = f"/jobs/{sent(service)['id']}/rescan"
    told = problem(service.post(where, json={"region": region}), 422)
    assert words in told["detail"]
    assert len(told["detail"]) < 400
    assert len(service.get("/jobs").json()["jobs"]) == 1


def test_numbers_that_json_does_not_know_are_refused(service: TestClient) -> None:
    where = f"/jobs/{sent(service)['id']}/rescan"
    for number in ("NaN", "Infinity"):
        body = f'{{"region": {{"type": "Polygon", "coordinates": [[[0, 0], [90, 0], [90, {number}], [0, 0]]]}}}}'
        problem(service.post(where, content=body, headers={"Content-Type": "application/json"}), 422)


def test_model_threshold_and_stride_are_of_the_job_or_of_the_other_model(service: TestClient) -> None:
    job = sent(service, threshold=0.3, stride=2, image=0, keep_ink=True, export="zarr")
    store = service.app.state.service.store  # type: ignore[attr-defined]

    def asked(**body: Any) -> Any:
        again = service.post(f"/jobs/{job['id']}/rescan", json={"region": REGION, **body}).raise_for_status().json()
        made = store.get(again["id"]).request
        service.delete(f"/jobs/{again['id']}?purge=true")
        return made

    same, chosen, other = asked(), asked(threshold=0.0, stride=8), asked(model="other", stride=4)
    assert (same.model, same.threshold, same.stride, same.image, same.keep_ink) == ("tiny", 0.3, 2, 0, True)
    assert (chosen.threshold, chosen.stride) == (0.0, 8)
    assert (other.model, other.threshold, other.stride) == ("other", None, 4)
    problem(service.post(f"/jobs/{job['id']}/rescan", json={"region": REGION, "model": "none"}), 404)
    for body in ({"stride": 0}, {"stride": "8"}, {"threshold": 1.5}, {"colour": 1}):
        problem(service.post(f"/jobs/{job['id']}/rescan", json={"region": REGION, **body}), 422)


def test_who_may_not_submit_or_see_the_job_rescans_nothing(service: TestClient) -> None:
    job = sent(service)
    ask = partial(service.post, f"/jobs/{job['id']}/rescan", json={"region": REGION})
    problem(ask(headers={"X-API-Key": "dermatology"}), 404)
    problem(ask(headers={"X-API-Key": "reader"}), 403)
    problem(service.post("/jobs/nobody/rescan", json={"region": REGION}), 404)
    problem(service.get(f"/jobs/{job['id']}/siblings", headers={"X-API-Key": "dermatology"}), 404)
    of_admin = ask(headers={"X-API-Key": "root"}).raise_for_status().json()
    (listed,) = service.get(f"/jobs/{job['id']}/siblings").json()["jobs"]
    assert listed["id"] == of_admin["id"], "it belongs to the group"
    theirs = service.post(
        "/detect", content=png(make_field(303)), headers={"X-API-Key": "dermatology", "Prefer": "respond-async"}
    )
    assert service.get(f"/jobs/{theirs.json()['id']}/siblings", headers={"X-API-Key": "root"}).json()["jobs"] == []


def test_the_limit_of_open_jobs_holds_and_a_key_makes_one_job(service: TestClient) -> None:
    job = sent(service)
    ask = partial(service.post, f"/jobs/{job['id']}/rescan")
    first, same = (ask(json={"region": REGION}, headers={"Idempotency-Key": "k"}).json() for _ in range(2))
    assert first["id"] == same["id"]
    problem(ask(json={"region": polygon(0, 0, 90, 90)}, headers={"Idempotency-Key": "k"}), 409)
    assert ask(json={"region": polygon(0, 0, 90, 90)}).status_code == 202
    assert problem(ask(json={"region": polygon(0, 0, 80, 90)}), 429)["type"] == "urn:mitoscan:too-many-requests"


def test_of_a_slide_that_has_gone_or_changed_no_region_is_scanned(service: TestClient, tmp_path: Path) -> None:
    job, slide = sent(service), tmp_path / "slides" / "a.png"
    ask = partial(service.post, json={"region": REGION})
    shutil.rmtree(next((tmp_path / "data" / "uploads").glob("*/slide.png")).parent)
    assert problem(ask(f"/jobs/{job['id']}/rescan"), 410)["type"] == "urn:mitoscan:slide-gone"
    there = service.post("/detect", json={"source": {"path": "a.png"}}, headers={"Prefer": "respond-async"}).json()
    assert ask(f"/jobs/{there['id']}/rescan").status_code == 202
    for content, kind in (
        (png(make_field(304)), "slide-changed"),
        (b"no slide", "slide-changed"),
        (None, "slide-gone"),
    ):
        slide.unlink()
        if content is not None:
            slide.write_bytes(content)
        assert problem(ask(f"/jobs/{there['id']}/rescan"), 410)["type"] == f"urn:mitoscan:{kind}"
        if content is None:
            break


def test_a_failed_rescan_is_tried_again_as_what_it_was(service: TestClient) -> None:
    job = sent(service)
    rescanned = service.post(f"/jobs/{job['id']}/rescan", json={"region": REGION}).json()
    store = service.app.state.service.store  # type: ignore[attr-defined]
    store.update(rescanned["id"], partial(lifecycle.request_cancel, now=1.0))
    again = service.post(f"/jobs/{rescanned['id']}/retry").raise_for_status().json()
    assert (again["region"], again["rescan_of"]) == (rescanned["region"], job["id"])
    assert store.get(again["id"]).request == store.get(rescanned["id"]).request


def test_a_job_without_a_region_is_written_as_older_versions_read_it(service: TestClient) -> None:
    job = sent(service)
    part = service.post(f"/jobs/{job['id']}/rescan", json={"region": REGION}).json()
    with service.app.state.service.store.engine.connect() as connection:  # type: ignore[attr-defined]
        rows = dict(connection.execute(sa.text("SELECT id, request FROM mitoscan_jobs")).all())
    assert '"region"' not in rows[job["id"]]
    assert '"region"' in rows[part["id"]], "an older version would scan the whole slide"
