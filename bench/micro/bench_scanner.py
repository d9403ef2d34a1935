"""From a record in shared memory to an intent in shared memory: what does the detector add?

Input: real regions, 128 sets of eight. ``no_hit`` publishes one change and takes one turn;
``hit`` opens an edge, takes one turn that ends with eight intents in the ring, and closes the
edge again outside the clock. Both include the writer's slot and ring stores of one record
(about 3 us of Python). Divide nothing: a round is one event.

    pytest bench/micro/bench_scanner.py --benchmark-columns=min,median,stddev,rounds
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from oracle.regions import Regions
from overround.clock import monotonic_ns
from overround.decide.intents import IntentWriter
from overround.decide.strategy import Parameters
from overround.detect.host import StrategyHost
from overround.detect.kernels import load
from overround.detect.scanner import Limits, Scanner, Shard
from overround.observe.metrics import Histogram, Value
from overround_strategies.set_arbitrage import SetArbitrage

SETS, LEGS = 128, 8
FAIR = (1_100, 50.0, 1_300, 50.0)
CHEAP = (300, 50.0, 500, 50.0)

Benchmark = Callable[..., Any]


class Meters:
    """Counts nothing: the real meters cost one native call each."""

    def add(self, value: Value, n: int = 1) -> None: ...

    def record(self, histogram: Histogram, value_ns: int) -> None: ...


class Detector:
    """A scanner with its strategy over real regions."""

    def __init__(self) -> None:
        self.regions = Regions(markets=SETS * LEGS, ring=1_024, intents=1_024)
        for set_id in range(SETS):
            for market in self.regions.add_set(LEGS, set_id=set_id, rate_ppm=40_000):
                self.regions.publish(market, FAIR, now_ns=monotonic_ns())
        meters = Meters()
        writer = IntentWriter(
            self.regions.producer, number=1, ttl_ns=10**9, clock=monotonic_ns, meters=meters
        )
        host = StrategyHost([SetArbitrage()], writer, Parameters(), number=1)
        shard = Shard(0, self.regions.reader(), self.regions.board, self.regions.board_segment)
        self.scanner = Scanner(
            [shard],
            self.regions.catalog,
            capacity=SETS * LEGS,
            kernels=load(),
            limits=Limits(2_000, 200_000_000, 1, 10**12),
            on_signal=host.signal,
            meters=meters,
        )
        self.turn()
        self.turn()

    def turn(self) -> None:
        now_ns = monotonic_ns()
        self.regions.beat(now_ns)
        self.scanner.do_work(now_ns)


@pytest.fixture(name="detector")
def fixture_detector() -> Iterator[Detector]:
    detector = Detector()
    yield detector
    detector.regions.close()


def _record(detector: Detector, market: int, top: tuple[int, float, int, float]) -> np.ndarray:
    return detector.regions.store(market, top, now_ns=monotonic_ns())


def test_idle_turn(benchmark: Benchmark, detector: Detector) -> None:
    benchmark(detector.turn)


def test_one_change_no_hit(benchmark: Benchmark, detector: Detector) -> None:
    def setup() -> tuple[tuple[np.ndarray], dict[str, Any]]:
        return (_record(detector, 5, FAIR),), {}

    def event(record: np.ndarray) -> None:
        detector.regions.changes.publish(record)
        detector.turn()

    benchmark.pedantic(event, setup=setup, rounds=5_000)  # type: ignore[attr-defined]


def test_one_change_to_eight_intents(benchmark: Benchmark, detector: Detector) -> None:
    def setup() -> tuple[tuple[np.ndarray], dict[str, Any]]:
        detector.regions.changes.publish(_record(detector, 5, FAIR))
        detector.turn()
        detector.regions.intents()
        return (_record(detector, 5, CHEAP),), {}

    def event(record: np.ndarray) -> None:
        detector.regions.changes.publish(record)
        detector.turn()

    ring = detector.regions.intents_segment
    benchmark.pedantic(event, setup=setup, rounds=2_000)  # type: ignore[attr-defined]
    assert ring.cursor == 2_000 * LEGS
