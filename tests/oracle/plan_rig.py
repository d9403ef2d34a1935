"""Plans over an executor's core without a venue: the test says what fills, settles and fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count, product
from pathlib import Path

from oracle.desk import RUN, SHARE, Desk, accepted, rejected, taker_trade
from overround.config.schema import Execute, Risk
from overround.decide.risk import BookView
from overround.execute.executor import Submission
from overround.execute.order import Order
from overround.execute.planbook import Piece, PlanOutcome
from overround.execute.plans import PlanDesk
from overround.execute.trader import Trader
from overround.ledger.journal import replay
from overround.ledger.positions import FillState
from overround.ledger.records import Kind, MarketNote, PlanBegun, PlanEnded, decode
from overround.venues.contract import Side
from overround.venues.polymarket.records import TradeState, UserTrade

WIDE = Risk(
    same_in_flight_max=64, orders_per_s_max=10_000, orders_burst_max=10_000, collar_ticks=10_000
)


class PlanRig(Desk):
    """A desk that carries plans; books have 48 cents bid and 50 asked, a hundred deep."""

    def __init__(self, folder: Path, *, execute: Execute | None = None) -> None:
        self.execute = execute or Execute(plan_deadline_ms=10_000)
        self.trades: dict[str, UserTrade] = {}
        self.numbers = count()
        super().__init__(folder, limits=WIDE)

    def open(self) -> None:
        super().open()
        self.plans = PlanDesk(self.trader_of(RUN))

    def trader_of(self, run_id: int) -> Trader:
        """What both desks are told."""
        return Trader(
            self.store, self.core, self.markets, self.news, self.execute,
            lambda: self.now_ns, lambda: self.now_ms, run_id,
        )  # fmt: skip

    def quote(self, index: int, bid: int, ask: int, lots: int = 100 * SHARE) -> None:
        """Set a market's book to one level a side; no lots is an empty side."""
        self.markets.books[index] = BookView(True, True, 4, bid, ask, lots, lots)

    def begin_plan(self, legs: int = 3, **changes: object) -> Submission:
        """Take a plan over markets 0, 1, ... and begin its first request."""
        return self.send(*self.plan(0, legs, **changes))

    def answer(self, submission: Submission, filled: Sequence[int], price: int = 0) -> list[str]:
        """Answer a request: so many lots of each order trade, at its limit or ``price``."""
        answers, trades = [], []
        for order, lots in zip(submission.orders, filled, strict=True):
            if not lots:
                answers.append(rejected(order.order_id))
                continue
            intent = order.intent
            found = self.markets.find(intent.token)
            assert found is not None
            trade = taker_trade(
                order.order_id, found[0], f"t{next(self.numbers)}", outcome=intent.outcome,
                side=Side(intent.side), price_ticks=price or intent.price_ticks, size_lots=lots,
            )  # fmt: skip
            buys = intent.side == Side.BUY
            matched = {"taking_micro": lots} if buys else {"making_micro": lots}
            answers.append(accepted(order.order_id, "matched", trade.trade_id, **matched))
            trades.append(trade)
        self.core.answer(submission, answers)
        for trade in trades:
            self.trades[trade.trade_id] = trade
            self.settlement.on_trade(trade)
        return [trade.trade_id for trade in trades]

    def final(self, trade_ids: Iterable[str] | None = None, *, failed: bool = False) -> None:
        """Settle these trades, or every one that waits."""
        state = TradeState.FAILED if failed else TradeState.CONFIRMED
        for trade_id in list(self.trades if trade_ids is None else trade_ids):
            trade = self.trades.pop(trade_id)
            names = UserTrade.__struct_fields__
            values = {name: getattr(trade, name) for name in names}
            self.settlement.on_trade(UserTrade(**{**values, "state": state}))

    def step(self, ms: int = 150) -> list[Submission]:
        """Let time pass, carry the plans on, begin what they want sent."""
        self.tick(ms)
        return [one for one in self.plans.step() if self.core.begin(one)]

    @property
    def begun(self) -> list[PlanBegun]:
        return [r for r in self._records(Kind.PLAN) if isinstance(r, PlanBegun)]

    @property
    def ended(self) -> list[PlanEnded]:
        return [r for r in self._records(Kind.PLAN_END) if isinstance(r, PlanEnded)]

    @property
    def outcomes(self) -> list[PlanOutcome]:
        return [PlanOutcome(one.outcome) for one in self.ended]

    @property
    def kinds(self) -> list[int]:
        """The kinds in the journal, oldest first."""
        return [raw.kind for raw in replay(self.folder)]

    def _records(self, kind: Kind) -> list[object]:
        return [decode(raw) for raw in replay(self.folder) if raw.kind == kind]

    def pieces(self, orders: Iterable[Order]) -> list[Piece]:
        """Every fill of these orders that did not fail."""
        return [
            Piece.of(fill)
            for order in orders
            for fill, state in self.store.positions.fills_of(order.order_id)
            if state is not FillState.FAILED
        ]


def slow_worst(sure: Sequence[Piece], maybe: Sequence[Piece], notes: dict[str, MarketNote]) -> int:
    """The oracle of ``worst_micro``: every part of every piece in every world, one by one."""
    conditions = sorted({piece.condition_id for piece in (*sure, *maybe)})
    sets: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for condition in conditions:
        note = notes.get(condition)
        members = note.set_members if note is not None and len(note.set_members) > 1 else ()
        if condition in members:
            sets[members] = [{one: float(one == winner) for one in members} for winner in members]
        else:
            sets[(condition,)] = [{condition: 1.0}, {condition: 0.5}, {condition: 0.0}]
    least = None
    for worlds in product(*sets.values()):
        pays = {name: value for world in worlds for name, value in world.items()}
        for parts in product((0, 1), repeat=len(maybe)):
            total = 0.0
            chosen = [*sure, *(piece for piece, part in zip(maybe, parts, strict=True) if part)]
            for piece in chosen:
                yes = pays[piece.condition_id]
                worth = piece.lots * (1 - yes if piece.outcome else yes)
                flow = piece.cash_micro if piece.side else -piece.cash_micro
                total += flow - piece.fee_micro + (-worth if piece.side else worth)
            least = total if least is None else min(least, total)
    return 0 if least is None else int(least // 1)
