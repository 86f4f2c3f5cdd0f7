"""The API's description: references that lead somewhere, a name for every operation, media types of pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.proxies import served_below
from service.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    # With keys: the document is longest then.
    settings = Settings(data=tmp_path_factory.mktemp("data"), api_keys={"ann": f"read:{'0' * 64}"})
    return create_app(settings).openapi()


def references(part: Any) -> Iterator[str]:
    """Every `$ref` in a part of the document."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
        part = list(part.values())
    if isinstance(part, list):
        for entry in part:
            yield from references(entry)


def target(document: dict[str, Any], reference: str) -> Any:
    """What a reference leads to; None if there is nothing."""
    found: Any = document
    assert reference.startswith("#/")
    for name in reference[2:].split("/"):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def test_every_reference_leads_to_something(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 10
    assert [one for one in sorted(found) if target(document, one) is None] == []


def test_every_schema_is_used(document: dict[str, Any]) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert schemas - set(references(document)) == set()


def test_operations_have_a_name_each(document: dict[str, Any]) -> None:
    names = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", name)] == []
    assert document["paths"]["/jobs"]["get"]["operationId"] == "list_jobs"


def test_head_is_described_where_it_is_no_get(document: dict[str, Any]) -> None:
    assert [path for path, item in document["paths"].items() if "head" in item] == ["/uploads/tus/{upload_id}"]


def test_pictures_are_described_as_such(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        kind = {"jpeg": "image/jpeg", "png": "image/png"}.get(path.rpartition(".")[2])
        if kind:
            content = item["get"]["responses"]["200"]["content"]
            assert content == {kind: {"schema": {"type": "string", "format": "binary"}}}, path
    files = document["paths"]["/jobs/{job_id}/files/{name}"]["get"]["responses"]["200"]["content"]
    assert "image/png" in files


def test_a_description_with_a_prefix_leaves_none_behind(tmp_path: Path) -> None:
    app = create_app(Settings(data=tmp_path))
    with served_below("/mito"):
        assert app.openapi()["servers"] == [{"url": "/mito"}]
    assert app.openapi()["servers"] == [{"url": "/"}]


def test_pages_of_other_origins_may_read_what_a_client_needs(tmp_path: Path) -> None:
    client = TestClient(create_app(Settings(data=tmp_path, cors_origins=("https://lab.example",))))
    answer = client.get("/healthz", headers={"Origin": "https://lab.example"})
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert exposed >= {"Location", "Upload-Offset", "ETag", "Retry-After"}
