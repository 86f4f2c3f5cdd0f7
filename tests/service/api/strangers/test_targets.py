"""A path or query that is no text is refused before any route sees it; any text is a name like another."""

from __future__ import annotations

import httpx
import pytest

from tests.service.api.problems import problem
from tests.service.fields import make_field, png
from tests.service.server_process import Server


@pytest.mark.parametrize("spoilt", ["%00", "%0a", "%0D", "%1b", "%7F", "%c2%85", "%ff", "%c3%28", "%ed%a0%80"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/{id}/files/run.json{spoilt}.png"),
        ("GET", "/jobs/{id}/files/map.ome.zarr/zarr{spoilt}.json"),
        ("GET", "/jobs/{id}{spoilt}"),
        ("GET", "/jobs/{spoilt}/view"),
        ("GET", "/static/{spoilt}view.js"),
        ("GET", "/static/vendor/{spoilt}"),
        ("GET", "/{spoilt}"),
        ("GET", "/jobs?state={spoilt}"),
        ("GET", "/jobs?{spoilt}=1"),
        ("POST", "/detect?webhook={spoilt}"),
        ("POST", "/detect?model={spoilt}"),
        ("PUT", "/uploads/{spoilt}"),
        ("DELETE", "/uploads/{spoilt}"),
        ("PATCH", "/uploads/tus/{spoilt}"),
        ("DELETE", "/jobs/{id}{spoilt}?purge=true"),
    ],
)
def test_what_is_no_text_is_refused_in_every_path_and_query(
    client: httpx.Client, done: str, method: str, path: str, spoilt: str
) -> None:
    problem(client.request(method, path.format(id=done, spoilt=spoilt)), 400)


@pytest.fixture(scope="module")
def done(server: Server) -> str:
    """Id of a job that has succeeded, so that its files are looked for."""
    return str(server.client.post("/detect", content=png(make_field(20))).json()["id"])


def test_text_of_any_language_is_no_reason_to_refuse(client: httpx.Client) -> None:
    assert client.put("/uploads/Größe 病理 🔬.png", content=png(make_field(21))).json()["name"] == "Größe 病理 🔬.png"


@pytest.mark.parametrize("job", ["nope", "0" * 32, "a b", "x" * 500, "..%2f..%2fetc"])
def test_the_page_of_a_job_that_does_not_exist_says_so(client: httpx.Client, job: str) -> None:
    answer = client.get(f"/jobs/{job}/view")
    assert answer.status_code == 404
    if "%2f" not in job:
        assert answer.headers["content-type"].startswith("text/html")
        assert "No such job" in answer.text


def test_the_page_of_a_job_that_exists_is_there(client: httpx.Client, done: str) -> None:
    assert client.get(f"/jobs/{done}/view").status_code == 200
