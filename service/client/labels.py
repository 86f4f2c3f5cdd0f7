"""Gathers what people have reviewed on a service into one folder that `mitoscan train` and `evaluate` read."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from service.client.attempts import ServiceError
from service.client.calls import Client
from service.jobs.lifecycle import JobState

TABLES = ("labels.csv", "hard_negatives.csv")
SOURCES = "sources.json"
#: Names of fields in a `labels.zip`; nothing else is unpacked.
_IMAGE = re.compile(r"images/[0-9A-Za-z_-]+\.png")


class LabelsError(Exception):
    """The labels cannot be gathered into one folder; the message says why."""


@dataclass(frozen=True)
class Gathered:
    """What was gathered."""

    jobs: int
    fields: int
    #: Micrometres per pixel of all fields; None without any.
    mpp: float | None


def gather_labels(client: Client, folder: Path, *, since: datetime | None = None) -> Gathered:
    """Write the labels of all of the client's reviewed jobs into a new folder.

    Parameters
    ----------
    client : Client
    folder : Path
        Must be empty, or not exist.
    since : datetime, optional
        Only jobs with a verdict from this time on; all of such a job's verdicts are taken.

    Raises
    ------
    LabelsError
        The folder holds something, or the fields are of several resolutions.
    ServiceError
        The service refuses.
    """
    if folder.exists() and any(folder.iterdir()):
        raise LabelsError(f"{folder} is not empty: name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        gathered = _gather_into(work, _packed(client, Path(temporary), since))
        if folder.exists():
            folder.rmdir()
        work.rename(folder)
    return gathered


def _gather_into(folder: Path, files: Iterable[Path]) -> Gathered:
    tables: dict[str, list[str]] = {name: [] for name in TABLES}
    sources, fields = [], 0
    for path in files:
        with zipfile.ZipFile(path) as packed:
            sources.append(json.loads(packed.read("source.json")))
            for name, lines in tables.items():
                head, *rows = packed.read(name).decode().splitlines(keepends=True)
                lines += rows if lines else [head, *rows]
            images = [name for name in packed.namelist() if _IMAGE.fullmatch(name)]
            packed.extractall(folder, images)
            fields += len(images)
        path.unlink()
    resolutions = sorted({source["mpp"] for source in sources})
    if len(resolutions) > 1:
        named = ", ".join(f"{mpp:g}" for mpp in resolutions)
        raise LabelsError(f"the fields are of models at {named} um/px, and a training has one resolution")
    for name, lines in tables.items():
        (folder / name).write_text("".join(lines), encoding="utf-8")
    (folder / SOURCES).write_text(json.dumps(sources, indent=2) + "\n", encoding="utf-8")
    return Gathered(len(sources), fields, resolutions[0] if resolutions else None)


def _packed(client: Client, folder: Path, since: datetime | None) -> Iterator[Path]:
    """`labels.zip` of each reviewed job in turn, the oldest job first."""
    for job in reversed(list(client.jobs(JobState.SUCCEEDED))):
        marks = client.review(job.id).marks
        if not marks or (since is not None and max(mark.at for mark in marks) < since):
            continue
        try:
            yield client.download(job.id, "labels.zip", folder)
        except ServiceError as error:
            if error.problem.get("type") != "urn:mitoscan:nothing-reviewed":
                raise
