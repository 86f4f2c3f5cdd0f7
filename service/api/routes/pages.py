"""The HTML pages: upload, viewer, API documentation. They load nothing from other hosts."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from service.api.running.context import ServiceDep
from service.jobs.store import JobNotFoundError

router = APIRouter(include_in_schema=False)

VIEWER = Path(__file__).parents[2] / "viewer"
MODULES = VIEWER / "node_modules"
#: Third-party files, installed by npm at set-up: name in the URL -> path.
VENDOR = {
    "openseadragon.min.js": MODULES / "openseadragon/build/openseadragon/openseadragon.min.js",
    "LICENSE-openseadragon.txt": MODULES / "openseadragon/LICENSE.txt",
    "swagger-ui-bundle.js": MODULES / "swagger-ui-dist/swagger-ui-bundle.js",
    "swagger-ui.css": MODULES / "swagger-ui-dist/swagger-ui.css",
}
OURS = {path.name: path for path in (VIEWER / "static").iterdir()}
_FRESH = {"Cache-Control": "no-cache"}


@router.get("/")
def index() -> FileResponse:
    """The page with the upload form and the jobs."""
    return FileResponse(OURS["index.html"], headers=_FRESH)


@router.get("/docs")
def docs() -> FileResponse:
    """The API documentation (Swagger UI)."""
    return FileResponse(OURS["docs.html"], headers=_FRESH)


@router.get("/jobs/{job_id}/view")
def view(job_id: str, service: ServiceDep) -> FileResponse:
    """The viewer of a job. The page itself has no data of the job: it asks the API for it, with the user's key."""
    try:
        service.store.get(job_id)
    except JobNotFoundError:
        return FileResponse(OURS["missing.html"], 404, headers=_FRESH)
    return FileResponse(OURS["view.html"], headers=_FRESH)


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """One of the project's own scripts and styles."""
    return _listed(OURS, name)


@router.get("/static/vendor/{name}")
def vendor(name: str) -> FileResponse:
    """One of the third-party files."""
    return _listed(VENDOR, name)


def _listed(files: dict[str, Path], name: str) -> FileResponse:
    if name not in files or not files[name].is_file():
        raise HTTPException(404)
    return FileResponse(files[name], headers=_FRESH)
