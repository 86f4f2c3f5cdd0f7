"""UnfinishedScan: the folder of a scan that has not ended, and the one owner of all that is in it.

It is opened with a lock that is held until it ends; `resume` gives the map as far as it is; `commit` ends it once
run.json is on disk, and the map goes on under a name of its own, as part of the result; `discard` ends it on demand.
Nothing else ends it. A scan that fails, after its last tile too, or is stopped or killed, leaves all in place: the next
run of the same plan goes on from there, one of another plan begins anew.

Without a result folder there is nothing to go on from: the folder lies with the system's temporary files, and goes if
the scan fails, or with the process.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scanner.errors import OutputError, OutputExistsError
from scanner.files.atomic import LOCK_NAME, part_of, remove, remove_parts, sync_folder
from scanner.files.locks import Lock, is_held
from scanner.geometry.frames import Frame
from scanner.maps.probability_map import ProbabilityMap
from scanner.maps.store import MapStore, clear, read_plan

#: Folder of an unfinished scan within its result folder.
WORK_NAME = ".scan"
#: Of folders of scans without one.
_TEMPORARY = ".mitoscan.", ".part"
#: Seconds between two looks at a lock that another process holds.
_RELEASE_POLL = 0.2
#: Times that a folder may be renamed by the process that ends it, between it is found and locked.
_ATTEMPTS = 100


class UnfinishedScan:
    """The folder of one unfinished scan, which belongs to one process at a time; or each of its bands to one."""

    def __init__(self, folder: Path, locks: list[Lock], results: Path | None, band: int | None) -> None:
        self.folder = folder
        self.results = results
        self._locks = locks
        self._band = band
        self._is_over = False

    @classmethod
    def open(cls, results: Path | None, *, band: int | None = None) -> Self:
        """Take hold of the unfinished scan in a result folder, whether there is one or not.

        Parameters
        ----------
        results : Path, optional
            Created if it is not there. What killed runs have left there in parts is removed, except for a band.
        band : int, optional
            Hold this band alone, beside processes with others.

        Raises
        ------
        OutputExistsError
            Another process holds it.
        OutputError
            The folder cannot be written.
        """
        try:
            if results is None:
                return cls(*_open_temporary(), None, None)
            opened = cls(results / WORK_NAME, _take(results / WORK_NAME, band), results, band)
            if band is None:
                remove_parts(results)
        except OutputExistsError as error:
            raise OutputExistsError(f"{results}: another scan is writing there") from error
        except OSError as error:
            raise OutputError(f"{results or tempfile.gettempdir()}: {error}") from error
        return opened

    @property
    def plan(self) -> Any:
        """The plan of the scan that was started here; None if none was."""
        return read_plan(self.folder)

    def resume(self, frame: Frame, *, chunk_side: int, plan: dict[str, Any]) -> MapStore:
        """The map as far as it is, if it has the same plan; else a new one, and what lay here is discarded.

        Parameters and errors are those of `MapStore.open`.
        """
        return MapStore.open(self.folder, frame, chunk_side=chunk_side, plan=plan, band=self._band)

    def commit(self, probability_map: ProbabilityMap) -> None:
        """End it: the result is complete, its run.json on disk. The map belongs to the result, until that is closed.

        Raises
        ------
        OutputError
            The folder cannot be renamed.
        """
        folder = self.folder
        if self.results is not None:
            try:
                folder = part_of(self.results / "map")
                self.folder.rename(folder)
                sync_folder(self.results)
            except OSError as error:
                raise OutputError(f"{self.folder}: {error}") from error
        probability_map.settle(folder, self._locks.pop())
        self._is_over = True

    def discard(self) -> None:
        """End it, and remove all that was scored."""
        clear(self.folder)
        remove(self.folder)
        self._is_over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.results is None and not self._is_over:
            self.discard()
        for lock in self._locks:
            lock.release()


def remove_leftovers(results: Path, asked: dict[str, Any]) -> None:
    """Remove, in a folder that is complete, what the kill of a run has left there; not a scan of something else.

    Parameters
    ----------
    results : Path
    asked : dict
        What the complete scan was asked for, as its plan has it.
    """
    try:
        if not (results / WORK_NAME).exists():
            remove_parts(results)
            return
        with UnfinishedScan.open(results) as unfinished:
            plan = unfinished.plan
            if not isinstance(plan, dict) or {key: plan.get(key) for key in asked} == asked:
                unfinished.discard()
    except OSError:
        return  # It is in use, or may not be written: it does no harm.


def wait_for_release(results: Path, *, band: int | None = None, seconds: float) -> None:
    """Wait until no process holds the unfinished scan in a result folder, or that band of it; at most so long."""
    deadline = time.monotonic() + seconds
    while is_held(results / WORK_NAME / _lock_name(band)) and time.monotonic() < deadline:
        time.sleep(_RELEASE_POLL)


def _take(folder: Path, band: int | None) -> list[Lock]:
    """The locks on the folder, which is there afterwards: that on all of it first."""
    for _ in range(_ATTEMPTS):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            locks = [Lock(folder / LOCK_NAME, is_shared=band is not None)]
            if locks[0].is_on(folder / LOCK_NAME):
                return locks if band is None else [*locks, Lock(folder / _lock_name(band))]
        except FileNotFoundError:
            continue
        locks[0].release()  # Its scan has ended meanwhile, and taken the folder with it.
    raise OutputExistsError(str(folder))


def _open_temporary() -> tuple[Path, list[Lock]]:
    """A folder for a scan without results; those that nobody holds any more go."""
    prefix, suffix = _TEMPORARY
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*{suffix}"):
        if (folder / LOCK_NAME).exists() and not is_held(folder / LOCK_NAME):
            remove(folder)
    folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix))
    atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
    return folder, [Lock(folder / LOCK_NAME)]


def _lock_name(band: int | None) -> str:
    return LOCK_NAME if band is None else f"{LOCK_NAME}-{band}"
