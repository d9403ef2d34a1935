"""The detector process: scan, let strategies decide, hand intents to the executor.

One loop, no threads. Idle turns wait on the ring of changes: a short spin, then the futex, a
few milliseconds at most, so that beats, timers and the sweep of standing edges go on.
"""

from __future__ import annotations

import numpy as np
import structlog

from overround.clock import NS_PER_MS, NS_PER_US, monotonic_ns
from overround.config.schema import Settings
from overround.decide.edge import FeeRule, fee_bound_micro
from overround.decide.intents import IntentWriter
from overround.decide.targets import TargetWriter
from overround.detect.books import BookReader
from overround.detect.columns import warm
from overround.detect.host import StrategyHost, load_strategies, parameters
from overround.detect.kernels import load
from overround.detect.scanner import Limits, Scanner, Shard
from overround.layout.board import BOARD
from overround.layout.catalog import CATALOG
from overround.layout.report import REPORT
from overround.layout.target import TARGET
from overround.seat.collector import Collector
from overround.shm.broadcast import BroadcastReader
from overround.shm.member import Member
from overround.shm.segment import Segment
from overround.shm.slots import Slots
from overround.shm.spsc import SpscProducer

__all__ = ["run"]

WAIT_NS = 5 * NS_PER_MS
"""Longest sleep of an idle turn."""
WAIT_SHARDS_NS = NS_PER_MS
"""The same with several shards: only one ring can be slept on, the others are polled."""
TIMER_NS = 100 * NS_PER_MS
"""How often strategies are told the time."""
REPORTS_BATCH = 64


def _shards(member: Member) -> list[Shard]:
    shards = []
    for key in sorted(member.keys("board-")):
        number = int(key.partition("-")[2])
        region = member.open(key)
        reader = BroadcastReader(member.open(f"changes-{number}"))
        shards.append(Shard(number, reader, Slots(region, BOARD), region))
    return shards


def run(member: Member, settings: Settings, *, fee: FeeRule = fee_bound_micro) -> int:
    """Run the detector until told to stop; return the exit status.

    ``fee`` values legs before a trade; the default never estimates below a venue's charge.
    """
    log = structlog.get_logger()
    detect, supervise = settings.detect, settings.supervise
    strategies = load_strategies(detect.strategies)
    member.beat(monotonic_ns())
    kernels = load(member.run_dir / "kernels")  # seconds, when the cache on disk is cold
    warm(kernels)
    member.beat(monotonic_ns())
    ring = member.own(f"intents-{member.name}")
    ring.take_over()
    writer = IntentWriter(
        SpscProducer(ring),
        number=member.number,
        ttl_ns=detect.intent_ttl_ms * NS_PER_MS,
        clock=monotonic_ns,
        meters=member.meters,
    )
    targets = member.own(f"targets-{member.name}")
    targets.take_over()
    catalog = member.open("catalog")
    shards = _shards(member)
    lease_ns = supervise.trust_lease_ms * NS_PER_MS
    host = StrategyHost(
        strategies,
        writer,
        parameters(detect),
        number=member.number,
        targets=TargetWriter(Slots(targets, TARGET), clock=monotonic_ns),
        books=BookReader(shards, Slots(catalog, CATALOG), lease_ns).top,
    )
    scanner = Scanner(
        shards,
        Slots(catalog, CATALOG),
        capacity=catalog.capacity,
        kernels=kernels,
        limits=Limits(
            edge_min_micro_per_share=detect.edge_min_micro_per_share,
            size_max_lots=detect.size_max_lots,
            cooldown_ns=detect.cooldown_ms * NS_PER_MS,
            trust_lease_ns=lease_ns,
        ),
        on_signal=host.signal,
        meters=member.meters,
        fee=fee,
    )
    scanner.follows_books = host.follows_books
    reports = [BroadcastReader(member.open(key)) for key in member.keys("reports-")]
    collector = Collector(member.meters, settings.memory.growth_max_mib)
    collector.settle()
    host.start(monotonic_ns())
    log.info("detector ready", sets=scanner.sets, strategies=list(detect.strategies))
    beat_ns = supervise.beat_interval_ms * NS_PER_MS
    wait_ns = min(beat_ns, WAIT_NS if len(shards) == 1 else WAIT_SHARDS_NS)
    if settings.cpu.wait == "spin":  # all of the wait, and no sleep after it
        wait = (0, wait_ns)
    else:
        wait = (wait_ns, settings.cpu.spin_us * NS_PER_US)
    _loop(member, scanner, host, writer, shards, reports, targets, collector, wait, beat_ns)
    collector.end()
    host.stop(monotonic_ns())
    return 0


def _loop(
    member: Member,
    scanner: Scanner,
    host: StrategyHost,
    writer: IntentWriter,
    shards: list[Shard],
    reports: list[BroadcastReader],
    targets: Segment,
    collector: Collector,
    wait: tuple[int, int],
    beat_ns: int,
) -> None:
    """``wait``: longest sleep of an idle turn, and the spin before it, in ns."""
    news = np.zeros(REPORTS_BATCH, REPORT)
    timeout_ns, spin_ns = wait
    beat_due_ns = timer_due_ns = 0
    ready = False
    while not member.should_stop():
        now_ns = monotonic_ns()
        work = scanner.do_work(now_ns)
        while scanner.added:
            host.market(scanner.added.pop(0), now_ns)
        while scanner.changed:
            host.book(scanner.changed.pop(), now_ns)
        for reader in reports:
            for at in range(reader.poll(news)):
                host.report(news[at], now_ns)
                work += 1
        writer.flush()
        if now_ns >= timer_due_ns:
            timer_due_ns = now_ns + TIMER_NS
            host.timer(now_ns)
            collector.quiet(busy=work > 0)
        if now_ns >= beat_due_ns:
            beat_due_ns = now_ns + beat_ns
            member.beat(now_ns)
            targets.beat(now_ns)
        if not ready:  # one whole turn is done: books read, kernels warm
            ready = True
            member.ready()
        if work == 0:
            shards[0].changes.wait(timeout_ns, spin_ns=spin_ns)
