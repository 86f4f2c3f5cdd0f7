"""Two results of one slide are compared over HTTP, and who may not see both compares neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.service.access.groups import KEYS, finish
from tests.service.api.problems import problem
from tests.service.api.regions import polygon
from tests.service.fields import make_field, png
from tests.service.server_process import Server


@pytest.fixture(scope="module")
def two(server: Server) -> tuple[dict, dict]:
    """Two scans of one field: at every fourth position, and at every eighth."""
    field = png(make_field(501, 320, 400))
    jobs = [server.client.post("/detect", content=field, params={"threshold": 0.3, "stride": n}) for n in (4, 8)]
    return jobs[0].raise_for_status().json(), jobs[1].raise_for_status().json()


def compared(server: Server, one: dict, other: dict, **query: Any) -> dict:
    answer = server.client.get(f"/jobs/{one['id']}/comparison", params={"with": other["id"], **query})
    return answer.raise_for_status().json()


def test_what_both_have_and_what_one_has_adds_up(server: Server, two: tuple[dict, dict]) -> None:
    this, other = two
    found = compared(server, this, other)
    assert (found["threshold"], found["other_threshold"], found["in_region"]) == (0.3, 0.3, False)
    assert found["both"] + found["only_this"] == this["count"] > 0
    assert found["both"] + found["only_other"] == other["count"] == len(found["others"])
    assert len(found["only_this_ids"]) == found["only_this"]
    places = {one["id"]: one for one in this["detections"]}
    for one in found["others"]:
        if one["match"]:
            own = places[one["match"]]
            assert (one["x_um"] - own["x_um"]) ** 2 + (one["y_um"] - own["y_um"]) ** 2 <= found["radius_um"] ** 2
            assert one["match"] not in found["only_this_ids"]
    assert sum(one["match"] is not None for one in found["others"]) == found["both"]


def test_thresholds_change_without_a_rescan(server: Server, two: tuple[dict, dict]) -> None:
    this, other = two
    threshold = this["detections"][len(this["detections"]) // 2]["score"]
    found = compared(server, this, other, threshold=threshold, other_threshold=1)
    count = server.client.get(f"/jobs/{this['id']}/detections", params={"threshold": threshold}).json()["count"]
    assert (found["both"], found["only_this"], found["only_other"]) == (0, count, 0)


def test_with_a_region_only_the_region_is_compared(server: Server, two: tuple[dict, dict]) -> None:
    this = two[0]
    answer = server.client.post(f"/jobs/{this['id']}/rescan", json={"region": polygon(64, 64, 256, 256)})
    part = server.wait(answer.json()["id"])
    found = compared(server, this, part)
    assert found["in_region"]
    assert found["both"] + found["only_this"] < this["count"]
    assert found["both"] + found["only_other"] == part["count"]


def test_what_cannot_be_compared_is_refused(server: Server, two: tuple[dict, dict]) -> None:
    this, stranger = two[0], server.client.post("/detect", content=png(make_field(502))).json()
    where = f"/jobs/{this['id']}/comparison"
    assert "different slides" in problem(server.client.get(where, params={"with": stranger["id"]}), 422)["detail"]
    problem(server.client.get(where), 422)
    problem(server.client.get(where, params={"with": "nobody"}), 404)
    problem(server.client.get(where, params={"with": two[1]["id"], "threshold": 2}), 422)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[TestClient]:
    settings = Settings(
        data=tmp_path_factory.mktemp("compared"),
        models=models_folder,
        default_model="tiny",
        api_keys=KEYS,
        min_free_bytes=1,
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def test_a_job_of_another_group_does_not_exist(groups: TestClient) -> None:
    service, jobs = groups.app.state.service, {}  # type: ignore[attr-defined]
    for key, stride in (("pathology-submit", 4), ("pathology-submit", 8), ("dermatology-submit", 2)):
        headers = {"X-API-Key": key, "Prefer": "respond-async"}
        answer = groups.post("/detect", content=png(make_field(503)), params={"stride": stride}, headers=headers)
        jobs[stride] = answer.raise_for_status().json()["id"]
        if stride == 4:
            waits = groups.get(f"/jobs/{jobs[4]}/comparison", params={"with": jobs[4]}, headers=headers)
            problem(waits, 409)
        finish(service, jobs[stride])

    def ask(key: str, one: int, other: int) -> Any:
        return groups.get(f"/jobs/{jobs[one]}/comparison", params={"with": jobs[other]}, headers={"X-API-Key": key})

    assert ask("pathology-read", 4, 8).json()["both"] == 1
    for key, one, other in (("pathology-read", 4, 2), ("dermatology-read", 2, 4), ("root", 4, 2)):
        problem(ask(key, one, other), 404)
    service.results.remove(service.store.get(jobs[8]).request.result_key)
    problem(ask("pathology-read", 4, 8), 410)
