"""Nobody keeps more bytes of slides here than their quota, however the slides come."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.access.keys import hash_key
from service.access.limits import QuotaExceededError
from service.settings import Settings
from service.slides_in.holdings import held_bytes
from service.slides_in.image_headers import Header
from service.slides_in.quotas import begin_upload, keep_slide
from service.slides_in.store_slide import StoredSlide
from service.slides_in.tus import Upload, promised_bytes
from tests.service.fields import make_field, png
from tests.service.jobs.test_deleting import put
from tests.service.server_process import Server, until
from tests.service.slides_in.test_tus import TUS, begin, send

QUOTA = 200_000


def test_a_client_keeps_no_more_than_its_quota(tmp_path: Path, models_folder: Path) -> None:
    keys = json.dumps({name: f"submit:{hash_key(name)}" for name in ("ann", "bob")})
    environment = {"MITOSCAN_API_KEYS": keys, "MITOSCAN_CLIENT_QUOTA_BYTES": str(QUOTA), "MITOSCAN_WORKERS": "0"}
    with Server(tmp_path, models_folder, **environment).start(wait_for_worker=False) as server:
        client = server.client
        client.headers["X-API-Key"] = "ann"
        body = png(make_field(311))
        assert QUOTA / 3 < len(body) < QUOTA / 2
        uploads = [put(client, png(make_field(seed))) for seed in (311, 312)]
        refused = client.put("/uploads/a.png", content=body)
        assert (refused.status_code, refused.json()["type"]) == (413, "urn:mitoscan:quota-exceeded")
        assert "DELETE" in refused.json()["detail"]
        assert client.post("/uploads", content=iter([body])).status_code == 413, "without a declared length"
        assert client.post("/uploads/tus", headers=TUS | {"Upload-Length": str(len(body))}).status_code == 413
        bob = {"X-API-Key": "bob"}
        assert client.put("/uploads/a.png", content=body, headers=bob).status_code == 201, "bob has his own"
        assert client.delete(f"/uploads/{uploads[1]}").status_code == 204
        path = begin(client, len(body))  # What is promised counts like what is there.
        assert client.put("/uploads/a.png", content=body).status_code == 413
        assert send(client, path, body, 0).status_code == 204
        settings = Settings(data=tmp_path / "data")
        assert until(lambda: held_bytes(settings, "ann") == len(body), server, timeout=10)


def test_a_quota_holds_however_many_come_at_once(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, min_free_bytes=0, client_quota_bytes=350)

    def keep(number: int) -> bool:
        place = settings.uploads / f"{number:064x}"
        place.mkdir(parents=True)
        (place / "slide.png").write_bytes(bytes(100))
        slide = StoredSlide(f"uploads/{place.name}/slide.png", place.name, "slide.png", Header(".png", 1, 1))
        return is_allowed(lambda: keep_slide(settings, "ann", slide))

    def begin_one(number: int) -> bool:
        return is_allowed(lambda: begin_upload(settings, Upload(f"{number:032x}", "bob", "slide.tif", 100)))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(keep, range(16))) == 3
        assert sum(pool.map(begin_one, range(16))) == 3
    assert held_bytes(settings, "ann") == promised_bytes(settings, "bob") == 300


def is_allowed(step: Callable[[], None]) -> bool:
    try:
        step()
    except QuotaExceededError:
        return False
    return True
