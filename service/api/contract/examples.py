"""Example answers for the OpenAPI document, one of each model."""

from __future__ import annotations

from typing import Any

from models.card import NOTICE

_ID = "0d5f6c1e8a5b4f0f9b7a3c2d1e0f9a8b"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_HERE = f"/jobs/{_ID}"
_SUMMARY: dict[str, Any] = {
    "id": _ID,
    "status": "SUCCEEDED",
    "name": "slide-17.svs",
    "model_name": "mitosis-2",
    "created_at": "2026-11-25T09:00:00Z",
    "started_at": "2026-11-25T09:00:01Z",
    "finished_at": "2026-11-25T09:02:31Z",
    "priority": "normal",
    "rescan_of": None,
    "cached": False,
    "cancel_requested": False,
    "attempt": 1,
    "progress": {"tiles_done": 240, "tiles_total": 240, "mm2_done": 61.4, "mm2_total": 61.4, "eta_s": None},
    "stored": {
        "status": "stored",
        "attempts": 1,
        "at": "2026-11-25T09:02:33Z",
        "url": "https://pacs.example.org/dicom-web/studies/1.2.3/series/1.2.4/instances/1.2.5",
        "detail": None,
    },
    "problem": None,
    "links": {"self": _HERE, "events": f"{_HERE}/events", "view": f"{_HERE}/view", "files": f"{_HERE}/files"},
}
_DETECTION = {
    "id": "41f2a9f0-94a9-5f2c-9c52-3f6f6a7b1c11",
    "x": 10234.0,
    "y": 8121.0,
    "x_um": 2328.2,
    "y_um": 1847.5,
    "score": 0.91,
    "label": "mitotic figure",
    "border": False,
}
_MARK = {
    "id": _DETECTION["id"],
    "x": 10234.0,
    "y": 8121.0,
    "verdict": "rejected",
    "label": "mitotic figure",
    "note": "pyknotic",
    "by": "anna",
    "at": "2026-11-25T10:00:00Z",
}
_SHARE = {
    "id": "5f0c2d1e9a8b7c6d",
    "by": "anna",
    "note": "second opinion",
    "made_at": "2026-11-25T10:00:00Z",
    "expires_at": "2026-12-02T10:00:00Z",
}
_MODEL = {"name": "mitosis-2", "version": "0.1.0", "sha256": _SHA256}
_JOB = _SUMMARY | {
    "model": _MODEL,
    "region": None,
    "image": {
        "width": 46000,
        "height": 32914,
        "mpp": 0.2275,
        "mpp_source": "aperio",
        "name": "slide-17.svs",
        "index": 0,
        "images": [
            {"index": 0, "name": "", "kind": "image", "width": 46000, "height": 32914, "mpp": 0.2275},
            {"index": 1, "name": "label", "kind": "overview", "width": 387, "height": 463, "mpp": None},
        ],
    },
    "count": 1,
    "threshold": 0.5,
    "detections": [_DETECTION],
    "hotspots": [{"count": 1, "area_mm2": 2.0, "tissue_mm2": 1.9}],
    "area_mm2": {"tissue": 61.4, "scanned": 61.4, "unreadable": 0.0, "ink": 0.0},
    "warnings": [],
}
#: A waiting job: the answer with status 202.
WAITING = _JOB | {
    "status": "QUEUED",
    "started_at": None,
    "finished_at": None,
    "attempt": 0,
    "stored": {"status": "waiting", "attempts": 0, "at": None, "url": None, "detail": None},
    "progress": {"tiles_done": 0, "tiles_total": 0, "mm2_done": 0.0, "mm2_total": 0.0, "eta_s": None},
    "image": None,
    "count": None,
    "threshold": None,
    "detections": None,
    "hotspots": None,
    "area_mm2": None,
}
#: Name of a schema -> an example of it.
EXAMPLES: dict[str, dict[str, Any]] = {
    "JobOut": _JOB,
    "JobList": {
        "jobs": [_SUMMARY | {"count": 92, "per_mm2": 1.498371, "review": "started", "reviewed": 90}],
        "total": 1,
        "offset": 0,
        "next": None,
        "previous": None,
    },
    "SiblingsOut": {"jobs": [_SUMMARY]},
    "DetectionsOut": {
        "id": _ID,
        "threshold": 0.5,
        "candidate_floor": 0.05,
        "count": 1,
        "total": 1,
        "detections": [_DETECTION],
    },
    "ComparisonOut": {
        "id": _ID,
        "other_id": "b8a9f0e1d2c3a7b90f4f5b8a1e6c5f0d",
        "threshold": 0.5,
        "other_threshold": 0.4,
        "radius_um": 7.5,
        "in_region": False,
        "both": 1,
        "only_this": 0,
        "only_other": 0,
        "only_this_ids": [],
        "others": [_DETECTION | {"match": _DETECTION["id"]}],
    },
    "FileList": {
        "files": [
            {
                "name": "detections.csv",
                "bytes": 2048,
                "media_type": "text/csv; charset=utf-8",
                "link": f"{_HERE}/files/detections.csv",
            }
        ],
        "zarr": None,
    },
    "UploadOut": {"id": _SHA256, "name": "slide-17.svs", "bytes": 734003200, "width": 46000, "height": 32914},
    "ModelsOut": {
        "notice": NOTICE,
        "default": "mitosis-2",
        "models": [{"name": "mitosis-2", "version": "0.1.0", "mpp": 0.25}],
    },
    "ReviewOut": {
        "count": {"model": 1, "reviewed": 0, "open": 0},
        "per_mm2": 0.0,
        "hotspot": None,
        "marks": [_MARK],
        "by": "anna",
        "agreement": [{"reviewers": ["anna", "bert"], "both": 1, "kappa": None, "differ": [_DETECTION["id"]]}],
    },
    "MarkOut": _MARK,
    "ShareList": {"shares": [_SHARE], "most": 50, "longest_h": 720},
    "MadeShareOut": _SHARE
    | {"link": f"{_HERE}/view#token=eyJhbGciOiJIUzI1NiIsInR5cCI6Im1pdG9zY2FuLXNoYXJlK2p3dCJ9..."},
    "MeOut": {"name": "anna", "may": ["read", "review", "share"], "job": None},
    "SlideSize": {"width": 46000, "height": 32914, "mpp": 0.2275, "tile_side": 256, "levels": 17},
    "HealthOut": {"status": "ok"},
    "ReadyOut": {"status": "ready", "checks": {"store": True, "disk": True, "model": True, "worker": True}},
}


def add_examples(document: dict[str, Any]) -> None:
    """Put an example into every JSON answer of an OpenAPI document that has none."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if geojson := response.get("content", {}).get("application/geo+json"):
                    geojson.setdefault("example", {"type": "FeatureCollection", "features": []})
                content = response.get("content", {}).get("application/json", {})
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if name in EXAMPLES:
                    content["example"] = _example(name, status)


def _example(name: str, status: str) -> dict[str, Any]:
    if (name, status) == ("JobOut", "202"):
        return WAITING
    if (name, status) == ("ReadyOut", "503"):
        return {"status": "not ready", "checks": {"store": True, "disk": True, "model": True, "worker": False}}
    return EXAMPLES[name]
