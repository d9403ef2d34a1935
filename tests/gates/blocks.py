"""Python blocks that stay allocated, a message of the hot path; printed as JSON.

The collector is off, as in the processes themselves: what grows here grows there for ever.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "path"))

from order_rig import Rig

from oracle.frames import MARKET, NO, T0, YES, usual_book
from oracle.regions import SHARE, Regions
from overround.book.engine import FeedEngine
from overround.clock import monotonic_ns
from overround.decide.intents import IntentWriter
from overround.decide.strategy import Parameters
from overround.detect.host import StrategyHost
from overround.detect.kernels import load
from overround.detect.scanner import Limits, Scanner, Shard
from overround.layout.region import REGIONS, RegionKind
from overround.shm.meters import Meters
from overround.shm.segment import Segment
from overround_strategies.set_arbitrage import SetArbitrage

WARM = 200
RUNS = 1_000
LEGS = 8
Measure = Callable[[Callable[[], object]], Any]
FAIR = (1_100, 50.0, 1_300, 50.0)


def growth(once: Callable[[], object]) -> int:
    """Return by how many blocks the interpreter grew a run; a few in all are nobody's."""
    for _ in range(WARM):
        once()
    gc.collect()
    gc.disable()
    before = sys.getallocatedblocks()
    for _ in range(RUNS):
        once()
    grown = sys.getallocatedblocks() - before
    gc.enable()
    return grown // RUNS


def frame(measure: Measure) -> Any:
    """A price change through the feed engine."""
    venue = usual_book()
    engine = FeedEngine(markets_capacity=4, burst_ns=2_000_000, audit_every=8)
    engine.add_market(0, MARKET, YES, NO, round(float(venue.tick) * 10_000), venue.min_size, None)
    engine.on_frame(venue.opening(T0), 1)
    frames = []
    for n in range(2):
        venue.set(0, 5_000, (100 + n) * SHARE)
        frames.append(venue.change((0, 5_000), epoch_ms=T0 + n))
    turn = [0]

    def once() -> None:
        turn[0] ^= 1
        engine.on_frame(frames[turn[0]], 1)

    return measure(once)


def detector(measure: Measure) -> Any:
    """A change seen by the detector, without a hit."""
    regions = Regions(markets=LEGS, ring=1_024, intents=64)
    for market in regions.add_set(LEGS, set_id=0, rate_ppm=40_000):
        regions.publish(market, FAIR, now_ns=monotonic_ns())
    segment = Segment.create(
        f"/ovr-gates-{os.getpid()}",
        RegionKind.METERS,
        capacity=1,
        record_size=REGIONS[RegionKind.METERS].record_size,
        run_id=1,
    )
    meters = Meters(segment)
    writer = IntentWriter(
        regions.producer, number=1, ttl_ns=10**9, clock=monotonic_ns, meters=meters
    )
    host = StrategyHost([SetArbitrage()], writer, Parameters(), number=1)
    shard = Shard(0, regions.reader(), regions.board, regions.board_segment)
    scanner = Scanner(
        [shard], regions.catalog, capacity=LEGS, kernels=load(),
        limits=Limits(2_000, 200_000_000, 1, 10**12), on_signal=host.signal, meters=meters,
    )  # fmt: skip
    record = regions.store(5, FAIR, now_ns=monotonic_ns())

    def once() -> None:
        now_ns = monotonic_ns()
        regions.changes.publish(record)
        regions.beat(now_ns)
        scanner.do_work(now_ns)

    try:
        return measure(once)
    finally:
        segment.unlink()
        regions.close()


def executor(measure: Measure) -> Any:
    """An intent from the ring to its request's bytes: gate, signature, records; then its answer.

    The order stays known afterwards: what grows is what a store keeps of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), Pipe(), pooled=False)
        try:
            return measure(lambda: rig.round(send=False))
        finally:
            rig.close()


class Pipe:
    """Stands for the sink of the bench, to which nothing is sent here."""

    def __init__(self) -> None:
        self.socket, self._other = socket.socketpair()


CASES: dict[str, Callable[[Measure], Any]] = {
    "frame": frame, "detector": detector, "executor": executor,
}  # fmt: skip


if __name__ == "__main__":
    found = {name: case(growth) for name, case in CASES.items()}
    os.write(sys.stdout.fileno(), json.dumps(found).encode() + b"\n")
