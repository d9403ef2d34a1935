"""Loss stops: the day, the highest, marks that survive a restart, and the operator's word."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oracle.desk import SHARE, Desk, S, accepted, market, taker_trade
from oracle.http_server import until
from overround.config.schema import Risk
from overround.decide.risk import BookView, RefusalCode
from overround.execute.halt import KillSwitch
from overround.execute.losses import DAY_MS, PEAK_MARK_S, WARM_UP_S, LossWatch
from overround.ledger.journal import replay
from overround.ledger.records import Kind, RiskMark, decode
from overround.shm.kill import KillReason
from overround.venues.polymarket.records import TradeState

LIMITS = Risk(daily_loss_max_micro=2 * SHARE, drawdown_max_micro=3 * SHARE, same_in_flight_max=9)
BOOK = BookView(True, True, 4, 4_800, 5_000, 100 * SHARE, 100 * SHARE)


class Watched:
    """A desk and its watch; ``restart`` is what a new process would do."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder, limits=LIMITS)
        self.trips: list[KillReason] = []
        self.watch = self._new()

    def _new(self) -> LossWatch:
        desk = self.desk
        return LossWatch(
            desk.store, desk.markets, desk.core.gate, LIMITS,
            trip=lambda _, reason: self.trips.append(reason),
            clock=lambda: desk.now_ns, epoch_ms=lambda: desk.now_ms,
        )  # fmt: skip

    def restart(self) -> None:
        self.desk.restart()
        self.watch = self._new()

    def buy(self, sequence: int = 0) -> None:
        """Ten YES of market 3 at 0.50, fee 0.125, settled."""
        desk, name = self.desk, f"t{sequence}"
        submission = desk.send(desk.intent(sequence))
        (order_id,) = submission.order_ids
        desk.core.answer(submission, [accepted(order_id, "matched", name)])
        trade = taker_trade(order_id, market(3), name, state=TradeState.CONFIRMED)
        desk.settlement.on_trade(trade)

    def bid(self, ticks: int, **changes: object) -> None:
        self.desk.markets.books[3] = replace(
            BOOK, bid_ticks=ticks, ask_ticks=ticks + 200, **changes
        )

    def marks(self) -> list[RiskMark]:
        records = [decode(raw) for raw in replay(self.desk.folder) if raw.kind == Kind.RISK]
        return [one for one in records if isinstance(one, RiskMark)]


@pytest.fixture(name="watched")
def fixture_watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.desk.close()


async def test_worth_is_what_the_bids_pay_or_the_worst_redemption(watched: Watched):
    assert await watched.watch.look() == 0
    watched.buy()
    fee = watched.desk.store.positions.view().fees_micro
    assert fee > 0
    assert await watched.watch.look() == -5 * SHARE + 4_800_000 - fee
    watched.bid(3_000)
    assert await watched.watch.look() == -5 * SHARE + 3 * SHARE - fee
    watched.bid(9_000, trusted=False)  # an untrusted book changes nothing
    assert await watched.watch.look() == -2 * SHARE - fee
    assert watched.trips[-1] is KillReason.DAILY_LOSS


async def test_a_fall_since_the_days_beginning_stops_and_a_restart_knows(watched: Watched):
    await watched.watch.look()
    watched.buy()
    watched.bid(3_000)
    await watched.watch.look()
    assert watched.trips == [KillReason.DAILY_LOSS]
    assert watched.desk.core.take([watched.desk.intent(1)]) == []
    refusal = watched.desk.core.gate.stop
    assert refusal is not None
    assert refusal.code is RefusalCode.DAILY_LOSS
    watched.restart()
    await watched.watch.look()
    assert watched.trips == [KillReason.DAILY_LOSS] * 2
    # the next day begins where this one ended
    watched.desk.tick(DAY_MS)
    await watched.watch.look()
    assert watched.trips == [KillReason.DAILY_LOSS] * 2
    assert watched.desk.core.gate.stop is None
    assert [one.cause for one in watched.marks()] == ["day", "day"]


async def test_a_fall_from_the_highest_stops_over_days_and_restarts(watched: Watched):
    await watched.watch.look()
    watched.buy()
    watched.bid(7_000)
    await watched.watch.look()  # worth about +2: the highest
    watched.desk.tick(PEAK_MARK_S * 1_000)
    await watched.watch.look()
    assert [one.cause for one in watched.marks()] == ["day", "peak"]
    watched.restart()
    watched.desk.tick(DAY_MS)
    watched.bid(5_500)
    await watched.watch.look()
    watched.bid(4_000)  # 1.5 of the day, 3 from the highest
    await watched.watch.look()
    assert watched.trips == [KillReason.DRAWDOWN]


async def test_a_resume_after_a_loss_counts_anew(watched: Watched):
    await watched.watch.look()
    watched.buy()
    watched.bid(2_000)
    await watched.watch.look()
    await watched.watch.resume(KillReason.OPERATOR)
    assert watched.marks()[-1].cause == "day"
    tripped = len(watched.trips)
    await watched.watch.resume(KillReason.DAILY_LOSS)
    assert watched.marks()[-1].cause == "resume"
    assert len(watched.trips) == tripped  # the loss that is answered for sets no latch again
    assert watched.desk.core.gate.stop is None
    await watched.watch.look()
    assert len(watched.trips) == tripped
    assert watched.desk.core.gate.stop is None
    assert watched.desk.store.loss_micro() == 0
    assert watched.desk.store.own.exposures.account.totals.loss_micro == 0
    watched.restart()
    await watched.watch.look()
    assert len(watched.trips) == tripped
    assert watched.desk.store.loss_micro() == 0


async def test_nothing_is_judged_before_the_books_are_known_but_not_for_ever(watched: Watched):
    await watched.watch.look()
    watched.buy()
    watched.restart()
    watched.bid(4_900, trusted=False)
    await watched.watch.look()  # at worst all of it is lost, but nobody knows yet
    assert watched.trips == []
    watched.desk.now_ns += (WARM_UP_S + 1) * S
    await watched.watch.look()
    assert watched.trips == [KillReason.DAILY_LOSS]


async def test_a_latch_that_is_cleared_counts_as_resuming_until_it_is_carried_out() -> None:
    latch: Any = SimpleNamespace(reason=0, stopped_ns=0, set_ns=0)
    latch.is_set = lambda: bool(latch.reason)
    latch.answer_stopped = lambda now_ns: setattr(latch, "stopped_ns", now_ns)
    seen: list[tuple[int, bool]] = []

    async def on_resume(reason: int) -> None:
        seen.append((reason, switch.resuming))

    switch = KillSwitch(
        latch, Any, Any, clock=lambda: 2, on_resume=on_resume  # type: ignore[arg-type]
    )  # fmt: skip
    task = asyncio.create_task(switch.run(0.001))
    for reason in (KillReason.HOLD, KillReason.HOLD):
        assert not switch.resuming
        latch.reason, latch.set_ns = int(reason), 1
        await until(lambda: latch.stopped_ns == 2)
        latch.reason = latch.stopped_ns = 0
        assert switch.resuming
        await until(lambda: not switch.resuming)
    task.cancel()
    assert seen == [(KillReason.HOLD, True)] * 2
