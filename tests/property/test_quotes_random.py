"""Quotes under a venue that loses, refuses, fills and forgets: never too much, never crossed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from oracle.desk import SHARE, accepted, maker_trade, order_event, rejected
from oracle.quote_desk import INFO, QuoteRig
from overround.decide.risk import BookView
from overround.execute.executor import Submission
from overround.execute.order import Order, OrderState
from overround.venues.contract import Side
from overround.venues.polymarket.answers import no_answer
from overround.venues.polymarket.records import OrderEvent, TradeState, UserTrade

SEEDS = 40
STEPS = 60
SLACK_PPM = 100_000
"""``execute.quote_hysteresis_ppm`` as it is by default."""


def yes_side(order: Order) -> tuple[str, int]:
    """BID or ASK, and the price in YES ticks."""
    intent = order.intent
    ticks = 10_000 - intent.price_ticks if intent.outcome else intent.price_ticks
    return ("BID" if intent.outcome == intent.side else "ASK"), ticks


class Life:
    """One market's quotes and a toy venue that knows which orders it has."""

    def __init__(self, rig: QuoteRig, random: Random) -> None:
        self.rig = rig
        self.random = random
        self.live: dict[str, int] = {}
        self.trades: list[UserTrade] = []
        self.wanted: dict[str, tuple[int, int]] = {}
        self.seen: Counter[str] = Counter()

    def want(self) -> None:
        bid = self.random.choice((None, 4_500, 4_600, 4_700))
        ask = self.random.choice((None, 5_000, 5_100, 5_200))
        lots = self.random.choice((10, 20, 40)) * SHARE
        self.wanted = {}
        if bid is not None:
            self.wanted["BID"] = (bid, lots)
        if ask is not None:
            self.wanted["ASK"] = (ask, lots)
        self.rig.want(self.wanted.get("BID"), self.wanted.get("ASK"))

    def turn(self) -> None:
        self.rig.tick(self.random.choice((5, 100, 700)))
        self.rig.segment.beat(self.rig.now_ns)
        for submission in self.rig.quotes.step():
            assert self.rig.core.begin(submission)
            self.check_placed(submission)
            self.answer(submission)

    def check_placed(self, submission: Submission) -> None:
        """What was just placed fits beside everything that may still trade."""
        open_orders = [o for o in self.rig.store.working.values() if o.open_lots]
        for order in submission.orders:
            side, _ = yes_side(order)
            assert side in self.wanted
            total = sum(o.open_lots for o in open_orders if yes_side(o)[0] == side)
            most = self.wanted[side][1]
            assert total <= most + most * SLACK_PPM // 1_000_000
        bids = [yes_side(o)[1] for o in open_orders if yes_side(o)[0] == "BID"]
        asks = [yes_side(o)[1] for o in open_orders if yes_side(o)[0] == "ASK"]
        assert not bids or not asks or max(bids) < min(asks)

    def answer(self, submission: Submission) -> None:
        kind = self.random.choice(("live", "live", "live", "rejected", "lost", "lost and there"))
        self.seen[kind] += 1
        answers = []
        for order in submission.orders:
            if kind in ("live", "lost and there"):
                self.live[order.order_id] = order.size_lots
            if kind == "live":
                answers.append(accepted(order.order_id, "live"))
            elif kind == "rejected":
                answers.append(rejected(order.order_id))
            else:
                answers.append(no_answer(order.order_id, "lost"))
        self.rig.core.answer(submission, answers)

    def resolve(self) -> None:
        asked_ns = self.rig.now_ns
        for order in self.rig.resolver.doubtful():
            found = None
            if order.order_id in self.live:
                found = order_event(order.order_id, INFO, OrderEvent.LISTING)
            self.rig.resolver.resolve(order, found, asked_ns)

    def cancel(self) -> None:
        orders, self.rig.core.cancels = self.rig.core.cancels, []
        for order in orders:
            if self.random.random() < 0.2:
                self.rig.core.cancels.append(order)  # later
                continue
            self.live.pop(order.order_id, None)
            self.seen["cancel"] += 1
            event = order_event(order.order_id, INFO, OrderEvent.CANCELLATION)
            self.rig.settlement.on_order(event)

    def fill(self) -> None:
        if not self.live:
            return
        order_id = self.random.choice(sorted(self.live))
        order = self.rig.store.by_id[order_id]
        lots = self.random.choice((self.live[order_id], 5 * SHARE))
        lots = min(lots, self.live[order_id])
        self.live[order_id] -= lots
        if not self.live[order_id]:
            del self.live[order_id]
        self.seen["fill"] += 1
        intent = order.intent
        trade = maker_trade(
            order_id, INFO, f"m{next(self.rig.numbers)}", size_lots=lots,
            price_ticks=intent.price_ticks, outcome=intent.outcome, side=Side(intent.side),
        )  # fmt: skip
        self.rig.settlement.on_trade(trade)
        self.trades.append(trade)

    def settle(self) -> None:
        for trade in self.trades:
            names = UserTrade.__struct_fields__
            values = {name: getattr(trade, name) for name in names}
            final = UserTrade(**{**values, "state": TradeState.CONFIRMED})
            self.rig.settlement.on_trade(final)
        self.trades.clear()

    def doubt(self) -> None:
        trusted = self.random.random() < 0.7
        book = BookView(True, trusted, 4, 4_800, 5_000, 100 * SHARE, 100 * SHARE)
        self.rig.markets.books[3] = book

    def die(self) -> None:
        if self.random.random() < 0.3:
            self.rig.restart()
            self.seen["death"] += 1

    def finish(self) -> None:
        """Nothing is wanted any more: in the end nothing stands, and all of it is known."""
        self.rig.targets.clear()
        self.wanted = {}
        for _ in range(60):
            self.turn()
            self.resolve()
            self.cancel()
            self.settle()
            for order in list(self.rig.store.working.values()):
                if order.state is OrderState.LIVE and order.cancel_asked:
                    self.rig.core.cancels.append(order)  # as a comparison repeats a lost cancel
            if not self.live and not self.rig.store.working:
                return
            self.rig.tick(500)
        raise AssertionError(f"still there: {list(self.rig.store.working.values())}")


def test_quotes_are_never_too_many_never_crossed_and_end(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        random = Random(seed)
        rig = QuoteRig(tmp_path / f"{seed}")
        rig.watch()
        life = Life(rig, random)
        steps = (
            life.want, life.turn, life.turn, life.turn, life.resolve, life.cancel, life.cancel,
            life.fill, life.settle, life.doubt, life.die,
        )  # fmt: skip
        try:
            for _ in range(STEPS):
                random.choice(steps)()
            life.finish()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
        finally:
            rig.end()
        seen += life.seen
    assert set(seen) >= {"live", "rejected", "lost", "lost and there", "cancel", "fill", "death"}
