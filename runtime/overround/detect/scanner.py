"""From ring records to signals: poll, apply, scan, and check each hit against its slots.

The scanner never trades on what a ring record said. A hit of a kernel is only a reason to load
the board slots of its legs; the signal is computed from those, in plain integers, and only
while every book is usable: trusted, its region's epoch even and unchanged, its owner's
heartbeat fresh.

Falling behind is not an error. A lapped reader counts what it lost, reads the whole board once
and goes on. A changed epoch means that another ingress took over: the private copy is dropped
and read again from the board.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from overround.clock import NS_PER_MS
from overround.decide.edge import LOT_STEP, FeeRule, fee_bound_micro
from overround.decide.intents import MeterSink
from overround.decide.strategy import Signal, SignalKind
from overround.detect.columns import Columns
from overround.detect.kernels import Kernels
from overround.detect.legs import LegLoader, Shard
from overround.detect.relations import compile_relations
from overround.layout.board import BOARD
from overround.layout.change import CHANGE
from overround.observe.metrics import Histogram, Value
from overround.shm.slots import Slots
from overround.units import LOTS_PER_SHARE

__all__ = ["Limits", "Scanner", "Shard"]

BATCH_RECORDS = 1_024
"""Most records applied before their sets are scanned."""

SWEEP_INTERVAL_NS = 10 * NS_PER_MS
"""How often all sets are scanned again: finds edges whose cooldown or outage has passed."""

CATALOG_INTERVAL_NS = 50 * NS_PER_MS
"""How often some markets of the catalog are compared with what is compiled."""
CATALOG_BATCH = 256
"""How many at a time: 100 KB, so that no turn is held up by a large catalog."""

_EDGE_1E14_PER_MICRO = 10**8


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a set worth a signal; units in the names."""

    edge_min_micro_per_share: int
    size_max_lots: int
    cooldown_ns: int
    trust_lease_ns: int


class Scanner:
    """Turns the changes of every shard into signals; one ``do_work`` is one turn."""

    def __init__(
        self,
        shards: list[Shard],
        catalog: Slots,
        *,
        capacity: int,
        kernels: Kernels,
        limits: Limits,
        on_signal: Callable[[Signal], bool],
        meters: MeterSink,
        fee: FeeRule = fee_bound_micro,
    ) -> None:
        self._shards = {shard.number: shard for shard in shards}
        self._catalog = catalog
        self._limits = limits
        self._on_signal = on_signal
        self._meters = meters
        self._fee = fee
        self._columns = Columns(kernels, capacity)
        self._loader = LegLoader(self._shards, limits.trust_lease_ns)
        self._threshold = limits.edge_min_micro_per_share * _EDGE_1E14_PER_MICRO
        self._records = np.zeros(BATCH_RECORDS, CHANGE)
        self._words = self._records.view(np.int64).reshape(BATCH_RECORDS, 8)
        # Fields are taken once: a look at one of a record makes three objects.
        self._market_of, self._version_of = self._records["market"], self._records["version"]
        self._slot = np.zeros(1, BOARD)
        self._slot_fields = self._slot["sequence"], self._slot["publish_ns"]
        self._markets = catalog.load_all()
        self._quiet_until_ns: dict[int, int] = {}
        self._declined: dict[int, tuple[int, ...]] = {}
        self._sweep_due_ns = 0
        self._catalog_due_ns = 0
        self._catalog_next = 0
        self._scanned = 0
        self.added: list[int] = []
        self.follows_books = False
        """Whether somebody takes what is in ``changed``."""
        self.changed: set[int] = set()
        """Markets whose book changed since somebody took them."""
        self._compile()
        self.added = list(range(len(self._markets)))

    @property
    def sets(self) -> int:
        """Number of sets that are scanned."""
        return self._columns.relations.count

    def do_work(self, now_ns: int) -> int:
        """Take one turn; return the number of records seen, board sweeps and hits."""
        work = self._follow_catalog(now_ns)
        for shard in self._shards.values():
            work += self._follow_epoch(shard, now_ns)
            work += self._follow_changes(shard, now_ns)
        if now_ns >= self._sweep_due_ns:
            self._sweep_due_ns = now_ns + SWEEP_INTERVAL_NS
            work += self._consider_hits(self._columns.sweep(self._threshold), now_ns, fresh=False)
        scanned = self._columns.scanned
        self._meters.add(Value.SCANS, scanned - self._scanned)
        self._scanned = scanned
        return work

    def _compile(self) -> None:
        columns, markets = self._columns, self._markets
        columns.relate(compile_relations(markets, columns.capacity))
        self._loader.relate(columns.relations, markets)
        for shard in self._shards.values():
            shard.markets = np.flatnonzero(markets["shard"] == shard.number).astype(np.int32)

    def _follow_catalog(self, now_ns: int) -> int:
        """Compile the catalog again if it grew or, seen bit by bit, a market of it changed."""
        known, count = len(self._markets), self._catalog.count
        if count != known:
            self._markets = self._catalog.load_all()
            self.added.extend(range(known, len(self._markets)))
            self._compile()
            for shard in self._shards.values():  # first books may have come before their market
                self._sweep_board(shard, now_ns)
            return 1
        if count == 0 or now_ns < self._catalog_due_ns:
            return 0
        self._catalog_due_ns = now_ns + CATALOG_INTERVAL_NS
        first = self._catalog_next
        last = min(first + CATALOG_BATCH, count)
        self._catalog_next = last % count
        markets, whole = self._catalog.load_many(first, last - first)
        if not whole.all() or markets.tobytes() == self._markets[first:last].tobytes():
            return 0
        self._markets[first:last] = markets
        self._compile()
        return 1

    def _follow_epoch(self, shard: Shard, now_ns: int) -> int:
        """Drop the private copy of a shard whose writer changed; read it again once whole."""
        epoch = shard.region.epoch
        if epoch == shard.epoch:
            return 0
        shard.epoch = epoch
        self._columns.forget(shard.markets)
        if epoch % 2 == 0:
            self._sweep_board(shard, now_ns)
        return 1

    def _follow_changes(self, shard: Shard, now_ns: int) -> int:
        """Apply one batch of records and scan what they touched."""
        reader, columns = shard.changes, self._columns
        count = reader.poll(self._records)
        work = count
        if reader.lost != shard.lost or reader.laps != shard.laps:
            self._meters.add(Value.RECORDS_LOST, reader.lost - shard.lost)
            self._meters.add(Value.LAPS, reader.laps - shard.laps)
            shard.lost, shard.laps = reader.lost, reader.laps
            self._sweep_board(shard, now_ns)
            work += 1
        if count == 0:
            return work
        if self.follows_books:
            self.changed.update(self._records["market"][:count].tolist())
        touched = columns.apply(self._words, count)
        if touched and shard.epoch % 2 == 0:
            crossed = columns.check_mirrors(touched)
            if crossed:
                self._meters.add(Value.MIRROR_ALARMS, crossed)
            work += self._consider_hits(columns.scan(touched, self._threshold), now_ns, fresh=True)
        self._meters.add(Value.RECORDS_SEEN, count)
        self._time_newest(shard, count, now_ns)
        return work

    def _time_newest(self, shard: Shard, count: int, now_ns: int) -> None:
        """Record publish-to-seen of the batch's last record, if its slot still holds it."""
        last = count - 1
        sequence, published_ns = self._slot_fields
        if not shard.board.load_into(self._market_of.item(last), self._slot):
            return
        if sequence.item() // 2 & 0xFFFFFFFF == self._version_of.item(last):
            age_ns = now_ns - published_ns.item()
            if age_ns >= 0:  # published after this turn began: seen at once
                self._meters.record(Histogram.PUBLISH_TO_SEEN, age_ns)

    def _sweep_board(self, shard: Shard, now_ns: int) -> None:
        """Read every slot of a shard into the private copy and scan all sets."""
        columns = self._columns
        self._meters.add(Value.SWEEPS)
        if len(shard.markets) == 0:
            return
        if self.follows_books:
            self.changed.update(shard.markets.tolist())
        first = int(shard.markets[0])
        slots, whole = shard.board.load_many(first, int(shard.markets[-1]) + 1 - first)
        at = shard.markets - first
        readable = whole[at].astype(bool)
        columns.forget(shard.markets[~readable])
        columns.apply_slots(shard.markets[readable], slots[at[readable]])
        crossed = columns.check_mirrors()
        if crossed:
            self._meters.add(Value.MIRROR_ALARMS, crossed)
        self._sweep_due_ns = now_ns

    def _consider_hits(self, count: int, now_ns: int, *, fresh: bool) -> int:
        """Check every hit of the last scan; return how many became signals."""
        hits, signals = self._columns.hits, 0
        for at in range(count):
            index, kind = int(hits.set_index[at]), int(hits.kind[at])
            signals += self._consider(index, kind, now_ns, fresh=fresh)
        return signals

    def _consider(self, index: int, kind: int, now_ns: int, *, fresh: bool) -> int:
        """Recompute one hit from its slots and tell the strategies; 1 if it is a signal."""
        set_id = self._columns.relations.set_ids[index]
        if now_ns < self._quiet_until_ns.get(set_id, 0):
            return 0
        loaded = self._loader.load(index, SignalKind(kind), now_ns)
        if loaded is None:
            self._meters.add(Value.UNUSABLE_SKIPPED)
            return 0
        legs = loaded.legs
        books = (kind, *(leg.board_sequence for leg in legs))
        if self._declined.get(set_id) == books:
            return 0
        size = min(self._limits.size_max_lots, *(leg.size_lots for leg in legs))
        size = size // LOT_STEP * LOT_STEP
        signal = Signal(
            kind=SignalKind(kind),
            set_id=set_id,
            legs=legs,
            payoff_units=1 if kind == SignalKind.BUY_ALL else len(legs) - 1,
            size_lots=size,
            seen_ns=now_ns,
            # A sweep's hit was caused by time, not by an event: no latency is measured from it.
            event_recv_ns=loaded.event_recv_ns if fresh else 0,
            fee=self._fee,
        )
        if size < int(self._columns.relations.min_lots[index]) or not self._pays(signal):
            return 0
        self._meters.add(Value.HITS)
        if self._on_signal(signal):
            self._quiet_until_ns[set_id] = now_ns + self._limits.cooldown_ns
        else:
            self._declined[set_id] = books
        return 1

    def _pays(self, signal: Signal) -> bool:
        edge = signal.edge_micro(signal.size_lots)
        wanted = self._limits.edge_min_micro_per_share * signal.size_lots
        return edge > 0 and edge * LOTS_PER_SHARE >= wanted
