"""The ring's watcher: everything is handed over once and in order, and stopping never hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from oracle.regions import Regions
from overround.execute.intents import RingIntent
from overround.execute.rings import RingWatch
from overround.layout.intent import INTENT
from overround.shm.spsc import SpscConsumer


@pytest.fixture(name="regions")
def fixture_regions() -> Iterator[Regions]:
    regions = Regions()
    yield regions
    regions.close()


def push(regions: Regions, number: int) -> bool:
    record = np.zeros(1, INTENT)[0]
    record["producer_sequence"] = number
    record["legs"] = 1
    return regions.producer.try_push(record)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.mark.parametrize("busy", [False, True])
async def test_every_intent_is_taken_once_in_order_and_freed(regions: Regions, busy: bool) -> None:
    seen: list[int] = []

    def take(messages: list[RingIntent]) -> None:
        # Not freed before it was taken: a death here must find them again.
        assert regions.intents_segment.head == len(seen)
        seen.extend(one.producer_sequence for one in messages)

    watch = RingWatch(
        SpscConsumer(regions.intents_segment),
        asyncio.get_running_loop(),
        take,
        spin_ns=0,
        busy=busy,
    )
    threads = threading.active_count()
    watch.start()
    assert (threading.active_count() == threads) is busy
    for number in range(500):
        await until(lambda n=number: push(regions, n))  # type: ignore[misc]
    await until(lambda: len(seen) == 500)
    watch.stop()
    assert seen == list(range(500))
    assert regions.intents_segment.head == 500


async def test_every_record_of_a_batch_is_offered_in_its_turn(regions: Regions) -> None:
    seen: list[tuple[str, int]] = []

    def bind(records: Any) -> Callable[[int], bool]:
        def take(at: int) -> bool:
            number = int(records[at]["producer_sequence"])
            if number % 2:
                seen.append(("at once", number))
            return number % 2 == 1

        return take

    watch = RingWatch(
        SpscConsumer(regions.intents_segment), asyncio.get_running_loop(),
        lambda messages: seen.extend(("ordinary", one.producer_sequence) for one in messages),
        spin_ns=0, bind=bind,
    )  # fmt: skip
    for number in range(5):
        push(regions, number)
    watch.drain()
    assert seen == [("at once" if number % 2 else "ordinary", number) for number in range(5)]
    assert regions.intents_segment.head == 5


async def test_a_failure_leaves_the_intents_in_the_ring(regions: Regions) -> None:
    def refuse(_: list[RingIntent]) -> None:
        raise ValueError("disk full")

    told: list[BaseException] = []
    watch = RingWatch(
        SpscConsumer(regions.intents_segment), asyncio.get_running_loop(), refuse, spin_ns=0,
        on_failure=told.append,
    )  # fmt: skip
    push(regions, 0)
    with pytest.raises(ValueError, match="disk full") as raised:
        watch.drain()
    assert told == [raised.value]  # the loop only logs it: nobody else would stop the process
    assert regions.intents_segment.head == 0


async def test_after_a_failure_no_later_intent_frees_the_one_that_failed(regions: Regions) -> None:
    seen: list[int] = []

    def refuse_first(messages: list[RingIntent]) -> None:
        seen.extend(one.producer_sequence for one in messages)
        if seen == [0]:
            raise ValueError("disk full")

    watch = RingWatch(
        SpscConsumer(regions.intents_segment), asyncio.get_running_loop(), refuse_first, spin_ns=0
    )
    push(regions, 0)
    with pytest.raises(ValueError, match="disk full"):
        watch.drain()
    push(regions, 1)
    watch.drain()  # the loop may have been asked before the process could stop
    assert seen == [0]
    assert regions.intents_segment.head == 0


async def test_stopping_while_intents_pour_in_never_hangs(regions: Regions) -> None:
    for _ in range(40):
        watch = RingWatch(
            SpscConsumer(regions.intents_segment),
            asyncio.get_running_loop(),
            lambda _: None,
            spin_ns=1_000,
        )
        ended = threading.Event()

        def pour(ended: threading.Event = ended) -> None:
            while not ended.is_set():
                push(regions, 1)

        producer = threading.Thread(target=pour)
        producer.start()
        watch.start()
        await asyncio.sleep(0)
        watch.stop()
        ended.set()
        producer.join()
        # What the loop was still asked to do finds the watch stopped.
        await asyncio.sleep(0)
