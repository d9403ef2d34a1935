"""Intents into the ring to the executor: a plan whole or not at all, a cancel always.

The ring is bounded. When it is full a new plan is dropped and counted here, at the source;
a cancel waits in the writer until there is room, and part of the ring is kept free for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from overround.errors import InvariantError
from overround.layout.intent import BUY, INTENT, NO, SELL, YES, IntentFlag, OrderType
from overround.observe.metrics import Histogram, Value

__all__ = ["BUY", "NO", "SELL", "YES", "IntentWriter", "OrderType", "PlanLeg", "Stamps"]

_NEVER_NS = 2**63 - 1
_CANCEL_SHARE = 8
"""One slot in this many stays free of plans, for cancels."""


class PlanLeg(NamedTuple):
    """One order of a plan; ``board_sequence`` and ``ingress_epoch`` name the book behind it."""

    market: int
    outcome: int
    side: int
    price_ticks: int
    size_lots: int
    order_type: OrderType
    board_sequence: int
    ingress_epoch: int
    flags: int = 0


class Stamps(NamedTuple):
    """When the event behind a plan reached the ingress, and when the detector saw it."""

    event_recv_ns: int
    seen_ns: int


class Ring(Protocol):
    """What a bounded ring says about its room."""

    capacity: int

    @property
    def cursor(self) -> int: ...
    @property
    def head(self) -> int: ...


class Producer(Protocol):
    """The sending end of a bounded ring, as ``shm.spsc`` has it."""

    @property
    def segment(self) -> Ring: ...
    @property
    def next_sequence(self) -> int: ...
    def try_push(self, record: NDArray[np.void], /) -> bool: ...


class MeterSink(Protocol):
    """Where counts and latencies go."""

    def add(self, value: Value, n: int = 1) -> None: ...
    def record(self, histogram: Histogram, value_ns: int) -> None: ...


class IntentWriter:
    """Writes one producer's intents; ``number`` is the producer's place in the roster."""

    def __init__(
        self,
        producer: Producer,
        *,
        number: int,
        ttl_ns: int,
        clock: Callable[[], int],
        meters: MeterSink,
    ) -> None:
        self._producer = producer
        self._number = number
        self._ttl_ns = ttl_ns
        self._clock = clock
        self._meters = meters
        # By target, so it holds one for each order under way at most: while a cancel waits, no plan
        # is taken, and a cancel repeated by an impatient strategy is the one that waits already.
        self._waiting: dict[int, NDArray[np.void]] = {}
        self._reserve = max(1, producer.segment.capacity // _CANCEL_SHARE)

    @property
    def waiting(self) -> int:
        """Cancels that found no room yet."""
        return len(self._waiting)

    def emit(
        self,
        legs: Sequence[PlanLeg],
        *,
        stamps: Stamps,
        edge_micro: int,
        account: int,
        strategy: int,
    ) -> int | None:
        """Push a plan's legs; return the plan id (the first leg's sequence), None if dropped.

        Every leg carries the edge of the whole plan.
        """
        self.flush()
        if not legs or self._waiting or self._free() < len(legs) + self._reserve:
            self._meters.add(Value.INTENTS_DROPPED, len(legs))
            return None
        plan = self._producer.next_sequence
        created_ns = self._clock()
        records = self._blank(len(legs), account, strategy, created_ns)
        records["expires_ns"] = created_ns + self._ttl_ns
        records["seen_ns"] = stamps.seen_ns
        records["event_recv_ns"] = stamps.event_recv_ns
        records["plan"] = plan
        records["producer_sequence"] = range(plan, plan + len(legs))
        records["leg"] = range(len(legs))
        records["legs"] = len(legs)
        records["edge_micro"] = edge_micro
        for name, column in zip(PlanLeg._fields, zip(*legs, strict=True), strict=True):
            records[name] = column
        for at in range(len(legs)):
            if not self._producer.try_push(records[at : at + 1]):
                raise InvariantError("a ring with one producer lost room it had")
        self._meters.add(Value.INTENTS, len(legs))
        self._meters.record(Histogram.SEEN_TO_INTENT, max(0, created_ns - stamps.seen_ns))
        return plan

    def cancel(self, *, market: int, target: int, account: int, strategy: int) -> None:
        """Push the cancel of an earlier intent, now or as soon as there is room."""
        record = self._blank(1, account, strategy, self._clock())
        record["expires_ns"] = _NEVER_NS
        record["market"] = market
        record["target_sequence"] = target
        record["legs"] = 1
        record["flags"] = IntentFlag.CANCEL
        self._waiting.setdefault(target, record)
        self.flush()

    def flush(self) -> int:
        """Push waiting cancels while there is room; return how many went."""
        done = 0
        for record in self._waiting.values():
            record["producer_sequence"] = record["plan"] = self._producer.next_sequence
            if not self._producer.try_push(record):
                break
            done += 1
        if done:
            for target in list(self._waiting)[:done]:
                del self._waiting[target]
            self._meters.add(Value.INTENTS, done)
        return done

    def _free(self) -> int:
        ring = self._producer.segment
        return ring.capacity - (ring.cursor - ring.head)

    def _blank(self, count: int, account: int, strategy: int, created_ns: int) -> NDArray[np.void]:
        record = np.zeros(count, INTENT)
        record["created_ns"] = created_ns
        record["producer"] = self._number
        record["account"] = account
        record["strategy"] = strategy
        return record
