"""A result with many thousands of candidates: a slide is scanned, and its answer written again with more of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from scanner.detections.detection import Detection, ranked
from service.results.results import Answer, Results
from service.worker.job_scan import candidate_from_detection
from tests.service.results.scanned import scanned
from tests.service.server_process import Server

#: Level-0 px from the slide's border within which they are not counted.
BORDER = 40


def scanned_with(server: Server, count: int, body: bytes, **query: str) -> dict:
    """A job that has succeeded, as its result says it, with so many candidates; no other job may have that result."""
    folder = server.folder / "data" / "results"
    known = keys(folder)
    job = scanned(server, body, **query)
    (key,) = keys(folder) - known
    rewrite(Results(folder), key, count)
    found: dict = server.client.get(f"/jobs/{job['id']}").raise_for_status().json()
    return found


def keys(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"work"}


def rewrite(results: Results, key: str, count: int) -> None:
    """Publish the result's files again, with an answer that has so many candidates."""
    answer = results.answer(key)
    candidates = make_candidates(answer, count)
    counted = sum(one.score >= answer.threshold and not one.border for one in candidates)
    work = results.work_path("again")
    os.rename(results.regions(key).parent, work)
    described = [candidate_from_detection(one) for one in candidates]
    results.publish(work, key, replace(answer, candidates=described, count=counted))


def make_candidates(answer: Answer, count: int) -> tuple[Detection, ...]:
    """Places all over the slide, the same each time; half of the scores are below 0.2."""
    random = np.random.default_rng(count)
    height, width, mpp = answer.image["height"], answer.image["width"], answer.image["mpp"]
    places = (random.uniform(0, 1, (count, 2)) * (height - 1, width - 1)).round(3)
    scores = answer.candidate_floor + (1 - answer.candidate_floor) * random.uniform(0, 1, count) ** 3
    label = answer.candidates[0]["label"] if answer.candidates else "mitotic figure"
    return ranked(
        Detection(row, col, row * mpp, col * mpp, score, label, not is_inside(row, height) or not is_inside(col, width))
        for (row, col), score in zip(places.tolist(), scores.tolist(), strict=True)
    )


def is_inside(place: float, length: int) -> bool:
    return BORDER <= place < length - BORDER
