"""A service in this process with keys of two groups, one of which has a job, uploads and a review."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from service.access.keys import hash_key
from service.api.app import create_app
from service.api.running.context import Service
from service.jobs import lifecycle
from service.results.results import FILES, Answer
from service.settings import Settings
from tests.service.fields import make_field, png

SIDE = 128
KEYS = {
    f"{group}-{role}": f"{role}:{group}:{hash_key(f'{group}-{role}')}"
    for group in ("pathology", "dermatology")
    for role in ("read", "review", "submit")
} | {"prometheus": f"metrics:{hash_key('prometheus')}", "root": f"admin:{hash_key('root')}"}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REGION = {"type": "Polygon", "coordinates": [[[0, 0], [SIDE, 0], [SIDE, SIDE], [0, 0]]]}
BODIES = {"VerdictIn": {"verdict": "accepted"}, "FigureIn": {"x": 5, "y": 6}, "RescanIn": {"region": REGION}}


@dataclass(frozen=True)
class Place:
    """A service in this process, what the group `pathology` has there, and where."""

    client: TestClient
    service: Service
    #: Name of a part of a path -> its value.
    parts: dict[str, str]
    #: path -> verb -> the operation, as the API describes it.
    described: dict[str, dict[str, Any]]

    def ask(self, verb: str, path: str, key: str | None, /, **parts: str) -> httpx2.Response:
        """The answer to this key, or to none."""
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"} | ({"X-API-Key": key} if key else {})
        body: dict[str, Any] = {"content": b""}
        content = self.described[path].get(verb.lower(), {}).get("requestBody", {}).get("content", {})
        if "application/offset+octet-stream" in content:
            headers["Content-Type"] = "application/offset+octet-stream"
        elif schema := content.get("application/json", {}).get("schema"):
            body = {"json": BODIES.get(schema["$ref"].rpartition("/")[2], {})}
        return self.client.request(verb, path.format_map(self.parts | parts), headers=headers, **body)

    def operations(self) -> Iterator[tuple[str, str]]:
        """(verb, path) of what the API describes."""
        for path, described in self.described.items():
            yield from ((verb.upper(), path) for verb in described if verb.upper() in VERBS)


@contextmanager
def open_place(folder: Path, models: Path) -> Iterator[Place]:
    """A service of that data folder, in which `pathology` has something."""
    settings = Settings(
        data=folder,
        models=models,
        default_model="tiny",
        api_keys=KEYS,
        min_free_bytes=1,
        requests_per_minute=1_000_000,
    )
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Place(client, app.state.service, begin(client, app.state.service), app.openapi()["paths"])


def begin(client: TestClient, service: Service, *, seed: int = 7) -> dict[str, str]:
    """Parts of paths that lead to a job with a result and a share, to an upload and to one that is unfinished."""
    headers = {"X-API-Key": "pathology-submit"}
    upload = (
        client.put("/uploads/a.png", content=png(make_field(seed)), headers=headers).raise_for_status().json()["id"]
    )
    asked = {"source": {"upload": upload}}
    job = client.post("/detect", json=asked, headers=headers | {"Prefer": "respond-async"}).raise_for_status().json()
    finish(service, job["id"])
    share = client.post(f"/jobs/{job['id']}/shares", json={}, headers=headers).raise_for_status().json()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "100"}
    unfinished = client.post("/uploads/tus", headers=headers | tus).raise_for_status().headers["location"]
    return {
        "job_id": job["id"],
        "upload": upload,
        "upload_id": unfinished.rpartition("/")[2],
        "mark_id": "one",
        "share_id": share["id"],
        "name": "run.json",
        "path": "zarr.json",
        "level": "0",
        "col": "0",
        "row": "0",
        "x": "9",
        "y": "9",
    }


def finish(service: Service, job_id: str) -> None:
    """Give the job a result, as a worker would."""
    job = service.store.update(job_id, partial(lifecycle.start, worker="w", now=time.time()))
    work = service.results.work_folder(job_id)
    (work / "map.ome.zarr").mkdir()
    for name in (*FILES, "map.ome.zarr/zarr.json", "regions.json"):
        (work / name).write_bytes(png(make_field(7)) if name.endswith(".png") else b"{}")
    (work / "run.json").write_text('{"settings": {"hotspot": "2"}, "slide": {}}')
    ring = [[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE], [0, 0]]
    (work / "tissue.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    figure = {"id": "one", "x": 9.0, "y": 9.0, "x_um": 2.0, "y_um": 2.0, "score": 0.9, "label": "f", "border": False}
    answer = Answer(
        model={"name": "tiny", "version": "1", "sha256": "0" * 64},
        image={"width": SIDE, "height": SIDE, "mpp": 0.25, "mpp_source": "tags", "index": 0, "images": []},
        count=1,
        threshold=0.5,
        candidate_floor=0.1,
        candidates=[figure],
        hotspots=[],
        area_mm2={"tissue": 1.0, "scanned": 1.0, "unreadable": 0.0, "ink": 0.0},
        warnings=[],
    )
    service.results.publish(work, job.request.result_key, answer)
    service.store.update(job_id, partial(lifecycle.finish, now=time.time()))
