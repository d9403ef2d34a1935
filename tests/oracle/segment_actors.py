"""What the other process does in the shared-memory tests: ``python -m oracle.segment_actors f a``.

Each function is one role; it attaches by name, acts, and says lines that the test waits for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from overround._native import ffi, lib
from overround.clock import monotonic_ns
from overround.layout.region import REGIONS, RegionKind
from overround.shm.broadcast import BroadcastReader, BroadcastWriter
from overround.shm.meters import Meters
from overround.shm.names import segment_name
from overround.shm.segment import Segment
from overround.shm.slots import Slots
from overround.shm.spsc import SpscConsumer, SpscProducer
from overround.shm.tap import TapKind, TapWriter

WAIT_NS = 60_000_000_000
"""Longer than any test may take: a missed wake-up shows as a test that times out."""


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def change(number: int) -> np.ndarray:
    """A change record each of whose fields follows from one number."""
    record = np.zeros(1, REGIONS[RegionKind.CHANGES].record)
    record["recv_ns"] = number
    record["market"] = number % 2**32
    record["venue_epoch_ms"] = number * 3
    record["bid_lots"] = -number
    record["ask_lots"] = number * 7
    record["event_sequence"] = number
    return record


def is_change(records: np.ndarray, first: int) -> bool:
    """Whether these are the records ``first``, ``first + 1`` and so on, whole."""
    numbers = np.arange(first, first + len(records), dtype=np.int64)
    return bool(
        (records["sequence"] == 2 * numbers + 2).all()
        and (records["recv_ns"] == numbers).all()
        and (records["venue_epoch_ms"] == numbers * 3).all()
        and (records["bid_lots"] == -numbers).all()
        and (records["ask_lots"] == numbers * 7).all()
        and (records["event_sequence"] == numbers).all()
    )


def follow(name: str, until: str) -> None:
    """Read a broadcast ring to record ``until``; report what was seen, lost and torn."""
    reader = BroadcastReader(Segment.attach(name, RegionKind.CHANGES), from_start=True)
    out = np.zeros(64, reader.dtype)
    seen = torn = 0
    say("ready")
    while reader.position < int(until):
        count = reader.poll(out)
        torn += not is_change(out[:count], reader.position - count)
        seen += count
        if count == 0:
            reader.wait(WAIT_NS)
    say(json.dumps({"seen": seen, "lost": reader.lost, "laps": reader.laps, "torn": torn}))


def publish_until_killed(name: str) -> None:
    """Own a broadcast ring and publish for ever, going on where the last owner stopped."""
    segment = Segment.attach(name, RegionKind.CHANGES)
    segment.take_lease()
    segment.take_over()
    writer = BroadcastWriter(segment)
    say(segment.cursor)
    while True:
        writer.publish(change(segment.cursor))


def push(name: str, until: str) -> None:
    """Own a bounded ring and push to record ``until``."""
    segment = Segment.attach(name, RegionKind.INTENTS)
    segment.take_lease()
    segment.take_over()
    producer = SpscProducer(segment)
    record = np.zeros(1, producer.dtype)
    say("ready")
    while producer.next_sequence < int(until):
        record["producer_sequence"] = producer.next_sequence
        if not producer.try_push(record):
            os.sched_yield()
    say(segment.generation)


def consume_and_die(name: str, count: str) -> None:
    """Say ``count`` records one by one, give back the room of all but the last, and die."""
    consumer = SpscConsumer(Segment.attach(name, RegionKind.INTENTS))
    out = np.zeros(1, consumer.dtype)
    for _ in range(int(count)):
        consumer.advance_to(consumer.position)
        assert consumer.wait(WAIT_NS)
        assert consumer.poll(out) == 1
        say(int(out["producer_sequence"][0]))
    die()


def hold(name: str, kind: str) -> None:
    """Own a region, beat once, and wait to be killed."""
    segment = Segment.attach(name, RegionKind[kind])
    segment.take_lease()
    segment.take_over()
    segment.beat(monotonic_ns())
    say("owner")
    signal.pause()


def die_in_store(name: str, index: str) -> None:
    """Own a board and die in the middle of storing one slot."""
    segment = Segment.attach(name, RegionKind.BOARD)
    segment.take_lease()
    segment.take_over()
    slots = Slots(segment)
    record = np.zeros(1, slots.dtype)
    record["bid_lots"] = 5
    for slot in range(int(index) + 1):
        slots.store(slot, record)
    segment.beat(monotonic_ns())
    # What ovr_slot_store does up to its first payload words.
    address = segment.address + lib.OVR_HEADER_BYTES + int(index) * segment.record_size
    words = ffi.cast("uint64_t *", address)
    words[0] += 1
    words[1] = 2**64 - 1
    die()


def run_instance(instance: str, run_id: str) -> None:
    """Create a roster and a board as a supervisor does, own them, wait to be killed."""
    for key, kind in (("roster", RegionKind.ROSTER), ("board-0", RegionKind.BOARD)):
        segment = Segment.create(
            segment_name(instance, int(run_id), key),
            kind,
            capacity=8,
            run_id=int(run_id),
            lease=key == "roster",
        )
        say(segment.name)
    signal.pause()


def count_until_killed(name: str) -> None:
    """Own meters and count for ever."""
    segment = Segment.attach(name, RegionKind.METERS)
    segment.take_lease()
    segment.take_over()
    meters = Meters(segment)
    say("ready")
    while True:
        meters.add(0)
        meters.record(0, 1_000)


def tap_until_killed(folder: str) -> None:
    """Append numbered records for ever; say every thousandth number."""
    tap = TapWriter(Path(folder), 2**18, 1_000)
    number = 0
    while True:
        assert tap.append(TapKind.FRAME_IN, number, 1, b"%d " % number * 20)
        number += 1
        tap.roll()
        if number % 1_000 == 0:
            say(number)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
