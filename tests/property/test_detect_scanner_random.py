"""Random lives of an ingress: every signal is justified by its slots, and none is missed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle.regions import SHARE, Regions, Top
from oracle.sets import Quote, buy_all, sell_all
from overround.decide.strategy import Signal
from overround.detect.kernels import load
from overround.detect.scanner import SWEEP_INTERVAL_NS, Limits, Scanner, Shard
from overround.observe.metrics import Histogram, Value

KERNELS = load()
MS = 1_000_000
LEASE_NS, COOLDOWN_NS = 500 * MS, 250 * MS
EDGE_MIN = 2_000
MIN_SHARES = 5
SETS = {1: [0, 1, 2], 2: [3, 4]}
RATE_PPM = 40_000
SOUND = 1


class Meters:
    def add(self, value: Value, n: int = 1) -> None: ...

    def record(self, histogram: Histogram, value_ns: int) -> None: ...


class World:
    """An ingress and a detector in one process, with a clock the test turns."""

    def __init__(self, regions: Regions) -> None:
        self.regions = regions
        self.now_ns = 10_000 * MS
        self.signals: list[Signal] = []
        for set_id, members in SETS.items():
            added = regions.add_set(
                len(members), set_id=set_id, rate_ppm=RATE_PPM, min_shares=MIN_SHARES
            )
            assert added == members
        regions.beat(self.now_ns)
        shard = Shard(0, regions.reader(), regions.board, regions.board_segment)
        self.scanner = Scanner(
            [shard],
            regions.catalog,
            capacity=regions.catalog_segment.capacity,
            kernels=KERNELS,
            limits=Limits(EDGE_MIN, 200 * SHARE, COOLDOWN_NS, LEASE_NS),
            on_signal=self.judge,
            meters=Meters(),
        )

    def quotes(self, set_id: int) -> list[Quote] | None:
        """Return the books of a set as the slots hold them; None if one is not sound."""
        found = []
        for market in SETS[set_id]:
            slot = self.regions.board.load(market)
            assert slot is not None
            if int(slot["flags"]) & 0b1101 != SOUND:
                return None
            has_ask = int(slot["ask_levels"]) > 0
            quote = Quote(
                int(slot["bid_ticks"][0]),
                int(slot["ask_ticks"][0]) if has_ask else 10_000,
                int(slot["bid_lots"][0]),
                int(slot["ask_lots"][0]),
                RATE_PPM,
            )
            if quote.crossed:
                return None
            found.append(quote)
        return found

    def judge(self, signal: Signal) -> bool:
        """Check a signal against the slots, in exact fractions, while nothing can move."""
        assert self.regions.board_segment.usable(self.now_ns, LEASE_NS)
        quotes = self.quotes(signal.set_id)
        assert quotes is not None
        edge, lots = (buy_all if signal.kind == 1 else sell_all)(quotes)
        assert MIN_SHARES * SHARE <= signal.size_lots <= min(lots, 200 * SHARE)
        worth = signal.edge_micro(signal.size_lots)
        exact = edge * signal.size_lots
        assert exact - 10 * len(quotes) < worth <= exact
        assert worth * SHARE >= EDGE_MIN * signal.size_lots
        self.signals.append(signal)
        return True

    def due(self) -> set[tuple[int, int]]:
        """Return (set, kind) of every edge that stands now, clear of the fee's rounding."""
        found = set()
        for set_id in SETS:
            quotes = self.quotes(set_id)
            if quotes is None:
                continue
            for kind, (edge, lots) in ((1, buy_all(quotes)), (2, sell_all(quotes))):
                size = min(lots, 200 * SHARE) // 10_000 * 10_000
                if size >= MIN_SHARES * SHARE:
                    floor = edge - Fraction(10 * len(quotes), size)
                    if floor > 0 and floor >= Fraction(EDGE_MIN, SHARE):
                        found.add((set_id, kind))
        return found

    def turn(self, after_ns: int, *, beat: bool) -> list[Signal]:
        self.now_ns += after_ns
        if beat:
            self.regions.beat(self.now_ns)
        before = len(self.signals)
        for _ in range(4):
            self.scanner.do_work(self.now_ns)
        return self.signals[before:]


shares = st.sampled_from([0.0, 4.99, 5.0, 7.25, 50.0, 1_000.0])
tops: st.SearchStrategy[Top] = st.builds(
    lambda bid, gap, bid_shares, ask_shares: (bid, bid_shares, min(bid + gap, 10_000), ask_shares),
    st.integers(24, 56).map(lambda cents: cents * 100),
    st.integers(-2, 4).map(lambda cents: cents * 100),
    shares,
    shares,
)
flags = st.sampled_from([1, 1, 1, 1, 3, 0, 5, 9])
publish = st.tuples(st.just("publish"), st.integers(0, 4), tops, flags)
hide = st.tuples(st.just("store"), st.integers(0, 4), tops, flags)
turns = st.tuples(st.just("turn"), st.sampled_from([1, 1, SWEEP_INTERVAL_NS, COOLDOWN_NS]))
silence = st.tuples(st.just("silence"), st.just(LEASE_NS + 1))
restart = st.tuples(st.just("restart"))
flood = st.tuples(st.just("flood"), st.integers(0, 4), tops)


def step(world: World, what: tuple[Any, ...]) -> None:
    """Let the ingress do one thing, or time pass."""
    regions, now_ns = world.regions, world.now_ns
    match what:
        case ("publish", market, top, bits):
            regions.publish(market, top, now_ns=now_ns, flags=bits)
        case ("store", market, top, bits):  # the ring record is lost with its writer
            regions.store(market, top, now_ns=now_ns, flags=bits)
        case ("turn", after_ns):
            world.turn(after_ns, beat=True)
        case ("silence", after_ns):
            assert world.turn(after_ns, beat=False) == []
        case ("restart",):
            regions.board_segment.take_over()
            for market in range(5):
                regions.publish(market, (0, 0.0, 0, 0.0), now_ns=now_ns, flags=0)
        case ("flood", market, top):
            for _ in range(80):
                regions.publish(market, top, now_ns=now_ns)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(publish | publish | turns | hide | silence | restart | flood, max_size=30),
    st.lists(tops, min_size=5, max_size=5),
)
def test_signals_are_justified_and_complete(life: list[tuple[Any, ...]], last: list[Top]) -> None:
    regions = Regions(markets=8, ring=64)
    try:
        world = World(regions)
        for what in life:
            step(world, what)
        for market, top in enumerate(last):
            regions.publish(market, top, now_ns=world.now_ns)
        found = world.turn(COOLDOWN_NS + SWEEP_INTERVAL_NS, beat=True)
        assert world.due() <= {(signal.set_id, int(signal.kind)) for signal in found}
    finally:
        regions.close()
