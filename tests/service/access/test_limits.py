"""One client's limits hold however many of its requests come at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from service.access.key_ring import KeyRing
from service.access.keys import Client
from service.access.limits import RateLimit, TooManyRequestsError
from service.api.app import open_service
from service.jobs.catalog import Catalog
from service.jobs.submission import Choices, submit
from service.settings import Settings
from service.settings.rules import Role
from service.slides_in.image_headers import Header
from service.slides_in.store_slide import StoredSlide
from tests.service.own_postgres import run_postgres

OPEN = 3


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_open_jobs_of_a_client_are_counted_exactly(tmp_path: Path, models_folder: Path, store: str) -> None:
    (tmp_path / "postgres").mkdir()
    with run_postgres(tmp_path / "postgres", wanted=store == "postgres") as environment:
        url = environment.get("MITOSCAN_DATABASE_URL")
        settings = Settings(
            data=tmp_path, database_url=url, models=models_folder, default_model="tiny", max_client_jobs=OPEN
        )
        answers, counted = ask_at_once(settings)
    assert counted == [OPEN, OPEN]
    assert answers.count("refused") == 16 - 2 * OPEN


def ask_at_once(settings: Settings) -> tuple[list[str], list[int]]:
    """What 16 requests of two clients were answered, and how many jobs each has then."""
    models_folder = settings.models
    service = open_service(settings, KeyRing({}), Catalog(models_folder, "tiny"))
    slide = StoredSlide("uploads/x/slide.png", "0" * 64, "slide.png", Header(".png", 10, 10))

    def ask(number: int) -> str:
        client = Client(f"key-{number}", Role.SUBMIT, f"client-{number % 2}")
        try:
            submit(service, client, replace(slide, sha256=f"{number:064}"), Choices())
        except TooManyRequestsError:
            return "refused"
        return client.group

    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(16)))
        counted = [service.store.count_open(f"client-{number}") for number in (0, 1)]
    finally:
        service.close()
    return answers, counted


def test_a_minute_has_so_many_requests_for_each_client() -> None:
    limit = RateLimit(5)
    for client in ("ann", "bob"):
        for _ in range(5):
            limit.take(client)
        with pytest.raises(TooManyRequestsError, match="5 requests a minute"):
            limit.take(client)
