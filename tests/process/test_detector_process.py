"""A real detector process over real regions, with the test as supervisor, ingress, executor."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oracle.regions import SHARE, Regions
from overround.clock import NS_PER_MS, monotonic_ns
from overround.config.schema import Capacity, Settings
from overround.layout.intent import INTENT
from overround.layout.seat import Wait
from overround.observe.metrics import Histogram, Value
from overround.shm.broadcast import BroadcastWriter
from overround.shm.member import READY
from overround.shm.process import start_ticks
from overround.shm.slots import Slots
from overround.shm.spsc import SpscConsumer
from overround.supervise.child import SETTINGS_FILE
from overround.supervise.instance import Instance, ProcessPlan

NAME = "detector-0"
CHEAP = (3_000, 50.0, 3_200, 50.0)
FAIR = (3_000, 50.0, 3_400, 50.0)
PATIENCE_S = 60
WAIT_NS = 20 * NS_PER_MS


class Rig(Regions):
    """A whole instance of one detector; everything but it is this test."""

    def __init__(self, folder: Path) -> None:
        capacity = Capacity(markets=64, changes_records=64, intents_records=64)
        self.settings = Settings(
            instance=f"test-detector-{os.getpid()}", run_dir=folder, capacity=capacity
        )
        self.folder = folder
        (folder / SETTINGS_FILE).write_text(self.settings.model_dump_json(), encoding="utf-8")
        self.instance = Instance(self.settings, (ProcessPlan(NAME, "detector"),))
        roster = self.instance.roster
        me = next(row for row in roster.processes() if row.role == "supervisor")
        pid = os.getpid()
        roster.update_process(replace(me, pid=pid, start_ticks=start_ticks(pid)))
        self.board_segment = self.instance.segment("board-0")
        self.changes_segment = self.instance.segment("changes-0")
        self.catalog_segment = self.instance.segment("catalog")
        self.intents_segment = self.instance.segment(f"intents-{NAME}")
        for segment in (self.board_segment, self.changes_segment):
            segment.take_lease()
            segment.take_over()
        self.catalog = self.instance.catalog
        self.board = Slots(self.board_segment)
        self.changes = BroadcastWriter(self.changes_segment)
        self.consumer = SpscConsumer(self.intents_segment)
        self._events = itertools.count(1)
        self.child: subprocess.Popen[bytes] | None = None
        self.meters = self.instance.meters(NAME)

    def start(self) -> None:
        """Start the detector and wait until it serves."""
        name = self.instance.segment("roster").name
        meters = self.meters.segment
        generation = meters.generation
        command = [sys.executable, "-m", "overround.supervise.child", name, NAME, str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.child = subprocess.Popen(command, stderr=log, stdout=log)
        self.until(lambda: meters.generation > generation and meters.state == READY)

    def until(self, condition: Callable[[], bool]) -> None:
        """Beat as every owner does until the condition holds; fail when patience ends."""
        deadline_ns = monotonic_ns() + PATIENCE_S * 1_000_000_000
        while not condition():
            assert self.child is not None
            log = (self.folder / "log").read_text(encoding="utf-8")
            assert self.child.poll() is None, log
            now_ns = monotonic_ns()
            assert now_ns < deadline_ns, log
            self.beat(now_ns)
            self.consumer.wait(WAIT_NS)

    def take_plan(self, legs: int) -> list[np.ndarray]:
        """Wait for a plan and take it."""
        out = np.zeros(64, INTENT)
        self.until(lambda: self.intents_segment.cursor - self.intents_segment.head >= legs)
        count = self.consumer.poll(out)
        self.consumer.advance_to(self.consumer.position)
        return [out[at].copy() for at in range(count)]

    def take_rest(self) -> None:
        """Throw away what a dead detector left in the ring."""
        self.consumer.poll(np.zeros(64, INTENT))
        self.consumer.advance_to(self.consumer.position)

    def stop(self) -> int:
        """Ask the detector to stop; return its exit status."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE_S)

    def close(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait(PATIENCE_S)
        self.instance.unlink()


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def publish_set(rig: Rig, markets: list[int], top: tuple[int, float, int, float]) -> None:
    for market in markets:
        rig.publish(market, top, now_ns=monotonic_ns())


def test_an_edge_becomes_a_plan_and_sigterm_ends_the_process_cleanly(rig: Rig) -> None:
    markets = rig.add_set(3)
    publish_set(rig, markets, FAIR)
    rig.start()
    publish_set(rig, markets, CHEAP)
    plan = rig.take_plan(3)
    assert sorted(int(leg["market"]) for leg in plan) == markets
    for at, leg in enumerate(plan):
        assert (int(leg["leg"]), int(leg["legs"]), int(leg["producer"])) == (at, 3, 1)
        assert int(leg["price_ticks"]) == 3_200
        assert int(leg["size_lots"]) == 50 * SHARE
        assert int(leg["ingress_epoch"]) == rig.board_segment.epoch
        ttl_ns = int(leg["expires_ns"]) - int(leg["created_ns"])
        assert ttl_ns == rig.settings.detect.intent_ttl_ms * NS_PER_MS
        assert int(leg["event_recv_ns"]) <= int(leg["seen_ns"]) <= int(leg["created_ns"])
    assert rig.meters.value(Value.INTENTS) == 3
    assert rig.meters.value(Value.HITS) == 1
    assert rig.meters.histogram(Histogram.SEEN_TO_INTENT).count == 1
    assert rig.stop() == 0


def test_a_detector_that_spins_decides_collects_and_stops(rig: Rig) -> None:
    roster = rig.instance.roster
    row = next(row for row in roster.processes() if row.name == NAME)
    roster.update_process(replace(row, wait=Wait.SPIN))
    markets = rig.add_set(2)
    rig.start()
    assert rig.meters.value(Value.SPINNING) == 1
    publish_set(rig, markets, (3_000, 50.0, 4_000, 50.0))
    assert len(rig.take_plan(2)) == 2
    rig.until(lambda: rig.meters.value(Value.GC_COLLECTIONS) > 0)
    assert rig.meters.value(Value.LOCKED_BYTES) <= rig.meters.value(Value.REGION_BYTES)
    assert rig.stop() == 0


def test_a_killed_detector_comes_back_and_its_sequences_go_on(rig: Rig) -> None:
    markets = rig.add_set(2)
    publish_set(rig, markets, (3_000, 50.0, 4_000, 50.0))
    rig.start()
    first = rig.take_plan(2)
    assert rig.child is not None
    rig.child.kill()
    rig.child.wait(PATIENCE_S)
    rig.take_rest()
    taken = rig.intents_segment.cursor
    rig.start()
    second = rig.take_plan(2)
    assert int(first[0]["producer_sequence"]) == 0
    assert int(second[0]["producer_sequence"]) == taken
    assert rig.stop() == 0


def test_no_intent_is_made_on_the_books_of_a_dead_ingress(rig: Rig) -> None:
    markets = rig.add_set(3)
    rig.start()
    rig.board_segment.take_over()  # a new ingress that has not beaten yet: nothing is usable
    publish_set(rig, markets, CHEAP)
    before = rig.meters.value(Value.UNUSABLE_SKIPPED)
    deadline_ns = monotonic_ns() + PATIENCE_S * 1_000_000_000
    while rig.meters.value(Value.UNUSABLE_SKIPPED) == before:
        assert monotonic_ns() < deadline_ns
        rig.consumer.wait(WAIT_NS)
    assert rig.intents_segment.cursor == 0
    assert len(rig.take_plan(3)) >= 3  # beats come: the same books are usable
