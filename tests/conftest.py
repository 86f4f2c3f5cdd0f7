"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
if not Path("/dev/nvidiactl").exists():
    # Without a card Triton's kernels are interpreted; what it does is settled when it is first imported.
    os.environ.setdefault("TRITON_INTERPRET", "1")

# No law is about time: on a loaded machine an example may take as long as it takes.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def refuse(reason: str) -> NoReturn:
    """Skip the test for what this machine lacks, or fail if MITOSCAN_REQUIRE_ALL=1."""
    (pytest.fail if os.environ.get("MITOSCAN_REQUIRE_ALL") == "1" else pytest.skip)(reason)


def require_system(program: str) -> str:
    """Where a program of the system is; without it the test skips, or fails if MITOSCAN_REQUIRE_ALL=1."""
    # Debian keeps the servers of PostgreSQL out of PATH, and Orthanc out of that of users.
    postgres = map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    own = str(Path(sys.executable).parent)  # Where pip has put the programs that came by it, npm's for one.
    found = shutil.which(
        program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), own, *postgres, "/usr/sbin"])
    )
    if found is None:
        refuse(f"needs the program {program!r}")
    return found


def require_precision(precision: str) -> None:
    """Skip a test of a precision that this machine's processor has not, with the reason."""
    import torch

    from scanner.dense.capabilities import offers_of

    offer = offers_of(torch.device("cpu"))[precision]
    if not offer.forms:
        pytest.skip(f"{precision}: {offer.reason}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled fields beside the project, which is never part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the labelled data in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def example_slide() -> Path:
    """An Aperio slide: JPEG, 2220 x 2967 px, one level, 0.499 um/px."""
    return ROOT / "examples" / "CMU-1-Small-Region.svs"
