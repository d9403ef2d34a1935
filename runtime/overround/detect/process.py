"""The detector process: scan, let strategies decide, hand intents to the executor.

One loop, no threads. Idle turns wait on the ring of changes: a short spin, then the futex, a
few milliseconds at most, so that beats, timers and the sweep of standing edges go on.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib.metadata import entry_points

import numpy as np
import structlog

from overround.clock import NS_PER_MS, NS_PER_US, monotonic_ns
from overround.config.schema import Detect, Settings
from overround.decide.edge import FeeRule, fee_bound_micro
from overround.decide.intents import IntentWriter
from overround.decide.strategy import Context, Parameters, Signal, Strategy
from overround.detect.kernels import load
from overround.detect.scanner import Limits, Scanner, Shard
from overround.errors import ConfigError
from overround.layout.board import BOARD
from overround.layout.catalog import CATALOG
from overround.layout.report import REPORT, ReportKind
from overround.shm.broadcast import BroadcastReader
from overround.shm.member import Member
from overround.shm.slots import Slots
from overround.shm.spsc import SpscProducer

__all__ = ["STRATEGY_GROUP", "StrategyHost", "load_strategies", "run"]

STRATEGY_GROUP = "overround.strategies"
"""Entry points of this group are the strategies a configuration may name."""

WAIT_NS = 5 * NS_PER_MS
"""Longest sleep of an idle turn."""
WAIT_SHARDS_NS = NS_PER_MS
"""The same with several shards: only one ring can be slept on, the others are polled."""
TIMER_NS = 100 * NS_PER_MS
"""How often strategies are told the time."""
REPORTS_BATCH = 64

_SETTLED_KINDS = frozenset({ReportKind.SETTLED, ReportKind.FAILED})


def load_strategies(names: Iterable[str]) -> list[Strategy]:
    """Return an instance of each named strategy, in order.

    Raises ConfigError if no installed package offers a name.
    """
    offered = {point.name: point for point in entry_points(group=STRATEGY_GROUP)}
    strategies: list[Strategy] = []
    for name in names:
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise ConfigError(f"detect.strategies: no strategy {name!r}; installed: {known}")
        strategies.append(offered[name].load()())
    return strategies


def parameters(detect: Detect) -> Parameters:
    """Return the limits strategies get from the settings."""
    return Parameters(
        edge_min_micro_per_share=detect.edge_min_micro_per_share,
        size_max_lots=detect.size_max_lots,
    )


class StrategyHost:
    """Calls the hooks of every strategy, each with its own context."""

    def __init__(
        self, strategies: list[Strategy], writer: IntentWriter, params: Parameters, *, number: int
    ) -> None:
        self._number = number
        self._pairs = [
            (strategy, Context(writer, strategy=at, account=0, params=params))
            for at, strategy in enumerate(strategies, start=1)
        ]

    def start(self, now_ns: int) -> None:
        """Tell every strategy that it starts."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_start(ctx)

    def stop(self, now_ns: int) -> None:
        """Tell every strategy that the process ends."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_stop(ctx)

    def timer(self, now_ns: int) -> None:
        """Tell every strategy the time."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_timer(ctx)

    def market(self, market: int, now_ns: int) -> None:
        """Tell every strategy of a new market."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_market(ctx, market)

    def signal(self, signal: Signal) -> bool:
        """Tell every strategy of a signal; return whether one emitted a plan."""
        emitted = False
        for strategy, ctx in self._at(signal.seen_ns):
            before = ctx.plans
            strategy.on_signal(ctx, signal)
            emitted = emitted or ctx.plans > before
        return emitted

    def report(self, report: np.ndarray, now_ns: int) -> None:
        """Tell every strategy what became of this producer's orders."""
        if int(report["producer"]) != self._number:
            return
        kind = int(report["kind"])
        for strategy, ctx in self._at(now_ns):
            if kind == ReportKind.FILL:
                strategy.on_fill(ctx, report)
            elif kind in _SETTLED_KINDS:
                strategy.on_settled(ctx, report)
            else:
                strategy.on_order(ctx, report)

    def _at(self, now_ns: int) -> Iterable[tuple[Strategy, Context]]:
        for strategy, ctx in self._pairs:
            ctx.now_ns = now_ns
            yield strategy, ctx


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
    kernels = load()
    ring = member.own(f"intents-{member.name}")
    ring.take_over()
    writer = IntentWriter(
        SpscProducer(ring),
        number=member.number,
        ttl_ns=detect.intent_ttl_ms * NS_PER_MS,
        clock=monotonic_ns,
        meters=member.meters,
    )
    host = StrategyHost(strategies, writer, parameters(detect), number=member.number)
    catalog = member.open("catalog")
    shards = _shards(member)
    scanner = Scanner(
        shards,
        Slots(catalog, CATALOG),
        capacity=catalog.capacity,
        kernels=kernels,
        limits=Limits(
            edge_min_micro_per_share=detect.edge_min_micro_per_share,
            size_max_lots=detect.size_max_lots,
            cooldown_ns=detect.cooldown_ms * NS_PER_MS,
            trust_lease_ns=supervise.trust_lease_ms * NS_PER_MS,
        ),
        on_signal=host.signal,
        meters=member.meters,
        fee=fee,
    )
    reports = [BroadcastReader(member.open(key)) for key in member.keys("reports-")]
    gc.collect()
    gc.freeze()
    host.start(monotonic_ns())
    log.info("detector ready", sets=scanner.sets, strategies=list(detect.strategies))
    beat_ns = supervise.beat_interval_ms * NS_PER_MS
    _loop(member, scanner, host, writer, shards, reports, detect.spin_us * NS_PER_US, beat_ns)
    host.stop(monotonic_ns())
    return 0


def _loop(
    member: Member,
    scanner: Scanner,
    host: StrategyHost,
    writer: IntentWriter,
    shards: list[Shard],
    reports: list[BroadcastReader],
    spin_ns: int,
    beat_ns: int,
) -> None:
    news = np.zeros(REPORTS_BATCH, REPORT)
    wait_ns = min(beat_ns, WAIT_NS if len(shards) == 1 else WAIT_SHARDS_NS)
    beat_due_ns = timer_due_ns = 0
    ready = False
    while not member.should_stop():
        now_ns = monotonic_ns()
        work = scanner.do_work(now_ns)
        while scanner.added:
            host.market(scanner.added.pop(0), now_ns)
        for reader in reports:
            for at in range(reader.poll(news)):
                host.report(news[at], now_ns)
                work += 1
        writer.flush()
        if now_ns >= timer_due_ns:
            timer_due_ns = now_ns + TIMER_NS
            host.timer(now_ns)
        if now_ns >= beat_due_ns:
            beat_due_ns = now_ns + beat_ns
            member.beat(now_ns)
        if not ready:  # every kernel has run once: nothing is left to be compiled
            ready = True
            member.ready()
        if work == 0:
            shards[0].changes.wait(wait_ns, spin_ns=spin_ns)
