"""Hostile files: no 500, no crash of the API, a worker that lives, bounded memory, nothing written elsewhere."""

from __future__ import annotations

import httpx
import pytest

from tests.service.fields import make_field, png
from tests.service.hostile import send_all, spoilt
from tests.service.hostile_files import corpus
from tests.service.server_process import Server


@pytest.mark.slow
def test_the_service_outlives_them_all(server: Server) -> None:
    before = set(server.folder.parent.iterdir())
    send_all(server, [*corpus(), *spoilt(60, seed=5)])
    assert server.client.get("/readyz").status_code == httpx.codes.OK
    assert set(server.folder.parent.iterdir()) == before
    assert server.client.post("/detect", content=png(make_field(93))).json()["status"] == "SUCCEEDED"


def test_the_corpus_has_200_kinds_and_none_twice() -> None:
    names, bodies = zip(*corpus(), strict=True)
    assert len(set(names)) == len(names) >= 200
    assert len(set(bodies)) > 0.98 * len(bodies)
