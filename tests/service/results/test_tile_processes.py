"""Tile processes: one that dies or hangs takes neither the API nor the tiles of others with it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from scanner.errors import DamagedSlideError
from service.results import tile_processes
from service.results.tile_processes import ClientGoneError, TileMaker


def die() -> None:
    os._exit(1)


def answer(number: int) -> int:
    time.sleep(0.05)
    return number


def test_a_tile_that_kills_its_process_spoils_no_other() -> None:
    async def scenario() -> list[object]:
        maker = TileMaker()
        try:
            work = [maker.run(answer, number) for number in range(6)]
            return await asyncio.gather(maker.run(die), *work, maker.run(answer, 6), return_exceptions=True)
        finally:
            maker.close()

    first, *others = asyncio.run(scenario())
    assert isinstance(first, DamagedSlideError)
    assert others == list(range(7))


def test_an_error_in_a_tile_comes_back_as_it_is() -> None:
    async def scenario() -> None:
        maker = TileMaker()
        try:
            await maker.run(int, "no number")
        finally:
            maker.close()

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(scenario())


def test_a_tile_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_processes, "TIMEOUT", 0.2)
    with pytest.raises(tile_processes.TileTooSlowError, match="longer than"):
        tile_processes._in_time(time.sleep, 10)
    assert tile_processes._in_time(answer, 3) == 3


def test_what_nobody_waits_for_is_not_made(tmp_path: Path) -> None:
    async def has_left() -> bool:
        return True

    async def waits() -> bool:
        return False

    async def scenario() -> int:
        maker = TileMaker()
        try:
            with pytest.raises(ClientGoneError):
                await maker.run_for("ann", has_left, os.mkdir, tmp_path / "made")
            return await maker.run_for("ann", waits, answer, 7)
        finally:
            maker.close()

    assert asyncio.run(scenario()) == 7
    assert not (tmp_path / "made").exists()
