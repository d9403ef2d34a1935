"""News into shared memory: meters, the reports ring, the account slots."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import structlog

from overround.execute.markets import Markets
from overround.execute.store import Store
from overround.layout.account import ACCOUNT, AccountKind
from overround.layout.report import REPORT, ReportKind
from overround.ledger.records import Intent
from overround.observe.metrics import Histogram, Value
from overround.shm.broadcast import BroadcastWriter
from overround.shm.meters import Meters
from overround.shm.slots import Slots

__all__ = ["AccountPublisher", "SharedNews"]


class SharedNews:
    """Counters and latencies of this process, reports for everybody, lines for the log.

    ``refusals`` counts by RefusalCode in a region of its own.
    """

    def __init__(
        self,
        meters: Meters,
        reports: BroadcastWriter,
        markets: Markets,
        epoch_ns: Callable[[], int],
        refusals: Meters,
    ) -> None:
        self._meters = meters
        self._refusals = refusals
        self._reports = reports
        self._markets = markets
        self._epoch_ns = epoch_ns
        self._record = np.zeros((), dtype=REPORT)
        self._log = structlog.get_logger()
        self._codes: dict[tuple[str, object], int] = {}

    def count(self, value: Value, n: int = 1) -> None:
        """Add to a counter."""
        self._meters.add(value, n)

    def gauge(self, value: Value, number: int) -> None:
        """Set a gauge."""
        self._meters.set(value, number)

    def time(self, stage: Histogram, elapsed_ns: int) -> None:
        """Record a latency."""
        self._meters.record(stage, elapsed_ns)

    def report(
        self,
        kind: ReportKind,
        intent: Intent,
        *,
        order_id: str = "",
        reason: int = 0,
        price_ticks: int = 0,
        size_lots: int = 0,
        fee_micro: int = 0,
    ) -> None:
        """Publish what became of an intent; price and size default to the intent's own."""
        if kind is ReportKind.REFUSED:
            self._refusals.add(reason)
        found = self._markets.find(intent.token)
        record = self._record
        record["epoch_ns"] = self._epoch_ns()
        record["plan"] = intent.plan
        record["producer"] = intent.producer
        record["kind"] = kind
        record["reason"] = reason
        record["producer_sequence"] = intent.sequence
        record["account"] = intent.account
        record["market"] = found[0].index if found is not None else 0xFFFF_FFFF
        record["outcome"] = intent.outcome
        record["side"] = intent.side
        record["price_ticks"] = price_ticks or intent.price_ticks
        record["size_lots"] = size_lots or intent.size_lots
        record["fee_micro"] = fee_micro
        record["order_id"] = np.frombuffer(_raw_id(order_id), dtype=np.uint8)
        self._reports.publish(record)

    def notice(self, event: str, /, **values: object) -> None:
        """Log one line; the same event and code at most at its 1st, 10th, 100th ... time."""
        key = (event, values.get("code"))
        seen = self._codes[key] = self._codes.get(key, 0) + 1
        if seen == 10 ** (len(str(seen)) - 1):
            self._log.info(event, seen=seen, **values)


def _raw_id(order_id: str) -> bytes:
    """Return the 32 bytes of an id; of an adopted one that is no digest its SHA-256."""
    try:
        return bytes.fromhex(order_id.removeprefix("0x")).ljust(32, b"\0")[:32]
    except ValueError:
        return sha256(order_id.encode()).digest()


class AccountPublisher:
    """The account's summary in slot 0, the position of (market, outcome) in 1 + 2 m + o."""

    def __init__(self, slots: Slots, meters: Meters, store: Store, markets: Markets) -> None:
        self._slots = slots
        self._meters = meters
        self._store = store
        self._markets = markets
        self._shown: dict[int, tuple[int, ...]] = {}

    def publish(self) -> None:
        """Store what has changed since the last call, and set the gauges."""
        store = self._store
        view = store.positions.view()
        reserved = store.reserved_micro()
        summary = (
            AccountKind.SUMMARY, 0, 0, 0, 0, 0, store.position_cost_micro(), view.cash_micro,
            reserved, view.fees_micro, view.pnl_micro,
        )  # fmt: skip
        self._store_slot(0, summary)
        self._meters.set(Value.PNL_MICRO, view.pnl_micro)
        self._meters.set(Value.FEES_MICRO, view.fees_micro)
        self._meters.set(Value.CASH_MICRO, view.cash_micro)
        for value, number in store.tally.items():
            self._meters.set(value, number)
        self._meters.set(Value.JOURNAL_BYTES, store.journal.appended_bytes)
        tokens = set(store.positions.holdings)
        tokens |= {order.intent.token for order in store.working.values()}
        for token in tokens:
            self._publish_token(token)

    def _publish_token(self, token: str) -> None:
        found = self._markets.find(token)
        if found is None:
            return
        market, outcome = found
        held = self._store.positions.holdings.get(token)
        open_lots = self._store.open_lots(token, 0) - self._store.open_lots(token, 1)
        values = (
            AccountKind.POSITION, outcome, market.index,
            held.confirmed_lots if held else 0, held.pending_lots if held else 0, open_lots,
            held.cost_micro if held else 0, 0, 0, held.fees_micro if held else 0, 0,
        )  # fmt: skip
        self._store_slot(1 + 2 * market.index + outcome, values)

    def _store_slot(self, index: int, values: tuple[int, ...]) -> None:
        if self._shown.get(index) == values or index >= self._slots.segment.capacity:
            return
        record: Any = np.zeros((), dtype=ACCOUNT)
        (
            record["kind"], record["outcome"], record["market"], record["confirmed_lots"],
            record["pending_lots"], record["open_lots"], record["cost_micro"],
            record["cash_micro"], record["reserved_micro"], record["fees_micro"],
            record["pnl_micro"],
        ) = values  # fmt: skip
        self._slots.store(index, record)
        self._shown[index] = values
