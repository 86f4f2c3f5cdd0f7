"""Turns are fair among clients, never more at a time than there are places, and none is lost."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from service.results.fair_turns import FairTurns


def test_a_client_with_one_request_does_not_wait_for_a_hundred_of_another() -> None:
    async def scenario() -> list[str]:
        turns, order = FairTurns(1), list[str]()

        async def ask(client: str) -> None:
            async with turns.turn(client):
                order.append(client)
                await asyncio.sleep(0)

        await asyncio.gather(*(ask("hungry") for _ in range(100)), ask("modest"))
        return order

    order = asyncio.run(scenario())
    assert len(order) == 101
    assert order.index("modest") <= 2


@given(requests=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30), places=st.integers(1, 3))
def test_no_turn_is_lost_whoever_leaves(requests: list[tuple[str, bool]], places: int) -> None:
    async def scenario() -> tuple[int, int, int]:
        turns, held, most, served = FairTurns(places), 0, 0, 0

        async def ask(client: str) -> None:
            nonlocal held, most, served
            async with turns.turn(client):
                held += 1
                most = max(most, held)
                try:
                    await asyncio.sleep(0)
                finally:
                    held -= 1
                served += 1

        tasks = [asyncio.create_task(ask(client)) for client, _ in requests]
        await asyncio.sleep(0)
        leaving = [task for task, (_, leaves) in zip(tasks, requests, strict=True) if leaves]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5):  # Every place is free again.
            for _ in range(places):
                await asyncio.create_task(ask("last"))
        return most, served, sum(not task.cancelled() for task in tasks)

    most, served, stayed = asyncio.run(scenario())
    assert most <= places
    assert served == stayed + places
