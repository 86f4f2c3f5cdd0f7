"""A PostgreSQL server of our own, for as long as it is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require_system

START_TIMEOUT = 60.0  # seconds


@contextmanager
def run_postgres(folder: Path, *, wanted: bool = True) -> Iterator[dict[str, str]]:
    """Environment that makes the service use a Postgres in that folder; an empty one if none is wanted."""
    if not wanted:
        yield {}
        return
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
        os.chown(folder, 65534, 65534)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent.parts[:2] == ("/", "tmp") and len(parent.parts) > 2:
                parent.chmod(parent.stat().st_mode | 0o055)
    made = [*program("initdb"), "-D", str(folder / "db"), "-U", "mitoscan", "-A", "trust", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True)
    process = start_again(folder)
    try:
        create = [*program("createdb"), "-h", str(folder), "-U", "mitoscan", "mitoscan"]
        deadline = time.monotonic() + START_TIMEOUT
        while subprocess.run(create, check=False, capture_output=True).returncode != 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield {"MITOSCAN_DATABASE_URL": f"postgresql://mitoscan@/mitoscan?host={folder}"}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def program(name: str) -> list[str]:
    """The beginning of a command line that runs one of PostgreSQL's programs, as who may."""
    programs = Path(require_system("postgres")).resolve().parent
    as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    return [*as_user, str(programs / name)]


def start_again(folder: Path) -> subprocess.Popen[bytes]:
    """The server of a folder that `run_postgres` has made, started; its sockets lie there."""
    options = ["-D", str(folder / "db"), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    return subprocess.Popen([*program("postgres"), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(folder: Path) -> None:
    """Stop the server of a folder, breaking its connections off."""
    note = folder / "db" / "postmaster.pid"
    os.kill(int(note.read_text().split()[0]), signal.SIGINT)
    deadline = time.monotonic() + START_TIMEOUT
    while note.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
