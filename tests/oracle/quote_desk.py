"""Quotes over an executor's core without a venue; the targets are in real shared memory."""

from __future__ import annotations

import os
from pathlib import Path

from oracle.desk import RUN, S, accepted, market, order_event, rejected
from oracle.plan_rig import PlanRig
from overround.config.schema import Execute
from overround.decide.targets import TargetWriter
from overround.execute.executor import Submission
from overround.execute.order import Order
from overround.execute.quotes import QuoteDesk
from overround.execute.wanted import TargetSource
from overround.layout.region import RegionKind
from overround.shm.names import segment_name
from overround.shm.segment import Segment
from overround.shm.slots import Slots
from overround.venues.polymarket.answers import no_answer
from overround.venues.polymarket.reasons import RejectReason
from overround.venues.polymarket.records import OrderEvent

PRODUCER = 2
LEASE_NS = S // 2
INFO = market(3)
NUMBERS = iter(range(os.getpid() << 20, 1 << 60))
"""Runs at one time share the names of shared memory."""


class QuoteRig(PlanRig):
    """A desk with one producer's targets in real shared memory."""

    def __init__(self, folder: Path, *, execute: Execute | None = None) -> None:
        self.segment = Segment.create(
            segment_name("test-quotes", next(NUMBERS), "targets-x"),
            RegionKind.TARGETS,
            capacity=8,
            record_size=64,
            run_id=RUN,
        )
        self.segment.take_lease()
        self.segment.take_over()
        self.run_id = RUN
        super().__init__(folder, execute=execute or Execute(quote_life_min_ms=500))
        self.targets = TargetWriter(Slots(self.segment), clock=lambda: self.now_ns)
        self.beating = True

    def open(self) -> None:
        super().open()
        self.quotes = self.desk()
        self.core._run_id = self.run_id

    def desk(self) -> QuoteDesk:
        """What a process begins with."""
        return QuoteDesk(self.trader_of(self.run_id))

    def restart(self) -> int:
        unknown = super().restart()
        self.watch()
        return unknown

    def watch(self) -> int:
        return self.quotes.watch([TargetSource(self.segment, PRODUCER, LEASE_NS)])

    def want(
        self,
        bid: tuple[int, int] | None,
        ask: tuple[int, int] | None = None,
        *,
        life_ms: int = 60_000,
        gtd: bool = False,
        index: int = 3,
    ) -> None:
        assert self.targets.quote(
            1, index, bid=bid, ask=ask, ingress_epoch=4, life_ms=life_ms, gtd=gtd
        )

    def turn(self, ms: float = 10, *, answer: str = "live") -> list[Order]:
        """Let time pass; look once; what is sent gets this answer. Returns the orders sent."""
        self.tick(ms)
        if self.beating:
            self.segment.beat(self.now_ns)
        sent: list[Order] = []
        for submission in self.quotes.step():
            assert self.core.begin(submission)
            sent += submission.orders
            if answer:
                self.reply(submission, answer)
        return sent

    def reply(self, submission: Submission, answer: str) -> None:
        ids = submission.order_ids
        if answer == "lost":
            self.core.answer(submission, [no_answer(one, "lost") for one in ids])
        elif answer == "rejected":
            self.core.answer(submission, [rejected(one, RejectReason.CROSSES_BOOK) for one in ids])
        else:
            self.core.answer(submission, [accepted(one, answer) for one in ids])

    def cancelled(self) -> list[Order]:
        """Take the cancels that were asked for and let the venue confirm them."""
        orders, self.core.cancels = self.core.cancels, []
        for order in orders:
            event = order_event(order.order_id, INFO, OrderEvent.CANCELLATION)
            self.settlement.on_order(event)
        return orders

    def hold(self, outcome: int, lots: int) -> None:
        """Buy shares beforehand and settle them."""
        intent = self.intent(next(NUMBERS), outcome=outcome, size_lots=lots, price_ticks=5_200)
        self.answer(self.send(intent), [lots])
        self.final()

    def end(self) -> None:
        """Close, and remove the region."""
        self.close()
        self.segment.unlink()
        self.segment.close()
