"""A job whose scores are no numbers fails with that reason, the tile named, and no path of the server in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from models import load_model, save_model
from scanner.errors import NonFiniteScoreError
from service.jobs.lifecycle import Job, ScanRequest
from service.settings import Settings
from service.worker import resource_bounds
from tests.service.fields import make_field, make_tiny_model, png
from tests.service.server_process import Server

REQUEST = ScanRequest("uploads/a/slide.tif", "a" * 64, "case 7.tif", "tiny", "b" * 64)


def test_the_problem_names_the_clients_slide_and_the_tile(tmp_path: Path) -> None:
    error = NonFiniteScoreError(f"{tmp_path}/uploads/a/slide.tif: scores of the tile at grid px 0 to 9 down ...")
    problem = resource_bounds.problem_of(error, Job("j", REQUEST, "local", created_at=1.0), Settings(data=tmp_path))
    assert (problem["type"], problem["status"]) == ("urn:mitoscan:scores-not-finite", 422)
    assert problem["detail"] == "case 7.tif: scores of the tile at grid px 0 to 9 down ..."


def test_a_job_with_broken_weights_fails_and_the_worker_goes_on(tmp_path: Path) -> None:
    models = tmp_path / "models"
    make_tiny_model(models)
    model = load_model(models / "tiny")
    next(model.net.parameters()).data[0, 0, 0, 0] = torch.nan
    save_model(models / "broken", replace(model, card=replace(model.card, name="broken")))
    with Server(tmp_path, models).start() as server:
        job = server.wait(server.submit(png(make_field(1)), model="broken"))
        assert job["status"] == "FAILED", job
        assert job["problem"]["type"] == "urn:mitoscan:scores-not-finite"
        assert "not finite" in job["problem"]["detail"]
        assert server.client.post("/detect?model=tiny", content=png(make_field(1))).status_code == 200
