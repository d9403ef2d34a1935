"""Plans of several legs: the worst case before the first leg, repair after it, one outcome.

The legs leave as one batch (or one after the other, where the plan says ORDERED). Once all their
outcomes are known, legs that are out of proportion are repaired by the rules of ``RULES``: what
was missed is completed within a price limit, or what was filled is sold back. A repair is made
only if it betters the plan's worst case now, and only if no part of it, nor any failure of what
is not settled, can make it worse than the worst case stated at the beginning.

Everything is decided from the journal's fold, so a restart in the middle goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from overround.decide.risk import BookView, Refusal, RefusalCode
from overround.execute.executor import Submission
from overround.execute.intents import RingIntent
from overround.execute.markets import MarketInfo
from overround.execute.order import DUST_LOTS, Order, OrderState
from overround.execute.planbook import Piece, Plan, PlanOutcome, Repair, plan_key, worst_micro
from overround.execute.trader import Trader
from overround.layout.intent import BUY, OWN_SEQUENCE, IntentFlag
from overround.ledger.positions import FillState
from overround.ledger.records import Intent, PlanBegun, PlanEnded, PlanKey
from overround.units import MICRO_PER_UNIT, PRICE_TICKS_MAX, notional_micro, notional_up_micro
from overround.venues.contract import OrderType

__all__ = ["RULES", "PlanDesk", "Rule"]

REPAIRS_MAX: Final = 32
"""Repair orders of one plan; then what is left is left."""
RETRY_NS: Final = 100_000_000
"""Between two attempts to repair one plan."""
ATTEMPT_NS: Final = 1_000_000_000
"""A repair that could not leave within this is stale."""
_ROUNDING_MICRO: Final = 100
"""Each match of an order has its fee rounded by up to five micro-units."""
NS_PER_MS: Final = 1_000_000


class Rule(NamedTuple):
    """One row of the table in docs/reference/plans.md: what is seen, what is done."""

    seen: str
    done: str


RULES: Final = (
    Rule("the worst case is above `execute.plan_worst_max_micro`",
         "refused whole, code PLAN_WORST; nothing is signed"),
    Rule("the plan passes the gate",
         "PLAN is journaled with its worst case, then every leg is signed and sent in one request"),
    Rule("the plan is ORDERED",
         "the first leg is sent; each next one when the one before is filled whole"),
    Rule("a leg of an ORDERED plan is not filled whole",
         "the legs behind it are refused, code PLAN; the rest of this table applies"),
    Rule("an outcome is unknown, or a trade the venue told of was not seen yet",
         "nothing, until it is known"),
    Rule("a leg rests (GTC, GTD) and the deadline has passed", "it is cancelled"),
    Rule("the legs are filled in proportion, to less than the market's least size",
         "nothing; the plan ends WHOLE, COMPLETED, UNWOUND or NOTHING once all fills are final"),
    Rule("legs are out of proportion, repair is `complete`",
         "completing all missed shares at the book's price, at most `execute.plan_slip_ticks`"
         " beyond the leg's price, or selling back all surplus shares that are settled:"
         " whichever leaves the better worst case"),
    Rule("legs are out of proportion, repair is `unwind`", "only selling back is considered"),
    Rule("shares would be sold back more than `execute.plan_unwind_ticks` below the leg's price",
         "they are kept: a thin book's price is no price"),
    Rule("a repair would not better the worst case, or could exceed the one stated",
         "it is not made; asked again every 100 ms until the deadline"),
    Rule("a fill FAILED", "it never was: the legs are judged again without it"),
    Rule("repair is `leave` or the plan says LEAVE, a token is in two legs, the deadline"
         " (`execute.plan_deadline_ms`) has passed, or 32 repairs were sent",
         "nothing more is sent; the plan ends LEFT if legs are out of proportion"),
    Rule("a leg's market is not in this run's catalog",
         "nothing is repaired; the plan ends LEFT at its deadline, NOTHING if no fill is there"),
    Rule("the executor restarts in the middle", "open plans go on from the journal by these rules"),
)  # fmt: skip
"""The whole behaviour; the page is made from it."""


@dataclass(slots=True)
class _Leg:
    """One leg's standing: shares got in its direction, by fills that did not fail."""

    order: Order
    market: MarketInfo
    got_lots: int
    missing_lots: int = 0
    surplus_lots: int = 0

    @property
    def intent(self) -> Intent:
        return self.order.intent


class _Step(NamedTuple):
    """A possible repair order."""

    leg: _Leg
    side: int
    price_ticks: int
    lots: int


class PlanDesk:
    """Opens plans for the executor and carries them to their end."""

    def __init__(self, trader: Trader) -> None:
        self._trader = trader
        self._store, self._core = trader.store, trader.core
        self._markets, self._news = trader.markets, trader.news
        self._settings = trader.settings
        self._clock, self._epoch_ms = trader.clock, trader.epoch_ms
        self._run_id = trader.run_id
        self._repair = Repair[trader.settings.plan_repair.upper()]
        self._released: set[str] = set()
        self._tried_ns: dict[PlanKey, int] = {}
        self._core.open_plan = self.begin

    # -- before the first leg --------------------------------------------------------------

    def begin(self, legs: Sequence[tuple[Intent, MarketInfo]]) -> Refusal | None:
        """Journal a plan with its worst case, or return why it must not begin."""
        first = legs[0][0]
        tokens = {intent.token for intent, _ in legs}
        leave = first.flags & IntentFlag.LEAVE or len(tokens) < len(legs)
        repair = Repair.LEAVE if leave else self._repair
        slip = self._settings.plan_slip_ticks if repair is Repair.COMPLETE else 0
        pieces = []
        for intent, market in legs:
            limit = intent.price_ticks + (slip if intent.side == BUY else -slip)
            limit = min(max(limit, 1), PRICE_TICKS_MAX - 1)
            pieces.append(_possible(market, intent.outcome, intent.side, limit, intent.size_lots))
        worst = max(0, -worst_micro((), pieces, self._store.positions.known_market))
        limit_micro = self._settings.plan_worst_max_micro
        if worst > limit_micro:
            text = f"the plan can lose {worst}, limit {limit_micro}"
            return Refusal(RefusalCode.PLAN_WORST, text)
        key = plan_key(first)
        deadline_ms = self._epoch_ms() + self._settings.plan_deadline_ms
        self._store.commit(PlanBegun(*key, repair, worst, deadline_ms, slip), self._clock())
        return None

    # -- afterwards ------------------------------------------------------------------------

    def step(self) -> list[Submission]:
        """Carry every open plan one step on; return what is to be sent."""
        ready: list[Submission] = []
        for key, plan in list(self._store.plans.open.items()):
            if plan.begun is not None:
                ready += self._step(key, plan, plan.begun)
        return ready

    def _step(self, key: PlanKey, plan: Plan, begun: PlanBegun) -> list[Submission]:
        late = self._epoch_ms() >= begun.deadline_epoch_ms
        if not all(_quiet(order) for order in plan.orders):
            self._cancel_resting(plan, late=late)
            return self._next_leg(plan)
        done = all(order.state is OrderState.DONE for order in plan.orders)
        legs = self._standing(plan)
        if legs is None:  # a market is not in this run's catalog: nothing can be repaired
            if late and done:
                self._end(key, plan, [], in_proportion=False)
            return []
        open_legs = any(leg.missing_lots or leg.surplus_lots for leg in legs)
        sent = sum(not one.refused for one in plan.repairs)
        over = late or begun.repair == Repair.LEAVE or sent >= REPAIRS_MAX
        if open_legs and not over:
            return self._mend(key, plan, begun, legs)
        if done:
            self._end(key, plan, legs, in_proportion=not open_legs)
        return []

    def _next_leg(self, plan: Plan) -> list[Submission]:
        """Release or refuse the legs of an ORDERED plan that still wait for their turn."""
        if not plan.legs[0].intent.flags & IntentFlag.ORDERED:  # the first leg speaks for all
            return []
        waiting = [
            leg
            for leg in plan.legs
            if leg.state is OrderState.SIGNED and leg.order_id not in self._released
        ]
        gone = plan.legs[: len(plan.legs) - len(waiting)]
        if not waiting or not gone or not all(_quiet(leg) for leg in gone):
            return []
        if any(leg.filled_lots + DUST_LOTS <= leg.size_lots for leg in gone):
            text = "a leg before it was not filled whole"
            self._core.refuse(waiting, Refusal(RefusalCode.PLAN, text))
            return []
        self._released.add(waiting[0].order_id)
        return [Submission((waiting[0],))]

    def _cancel_resting(self, plan: Plan, *, late: bool) -> None:
        for order in plan.orders:
            if late and order.state is OrderState.LIVE and not order.cancel_asked:
                self._core.request_cancel(order, "the plan's deadline has passed")

    # -- standing --------------------------------------------------------------------------

    def _pieces(self, orders: Iterable[Order]) -> tuple[list[Piece], list[Piece]]:
        """Return what is settled, and what may still fail."""
        sure, maybe = [], []
        for order in orders:
            for fill, state in self._store.positions.fills_of(order.order_id):
                if state is FillState.CONFIRMED:
                    sure.append(Piece.of(fill))
                elif state is FillState.PENDING:
                    maybe.append(Piece.of(fill))
        return sure, maybe

    def _standing(self, plan: Plan) -> list[_Leg] | None:
        alone = not plan.repairs  # then two legs of one token are told apart by their orders
        legs: list[_Leg] = []
        for order in plan.legs:
            sure, maybe = self._pieces([order] if alone else plan.orders)
            found = self._markets.find(order.intent.token)
            if found is None:
                return None
            market, outcome = found
            got = 0
            for piece in (*sure, *maybe):
                if (piece.condition_id, piece.outcome) == (market.condition_id, outcome):
                    got += piece.lots if piece.side == order.intent.side else -piece.lots
            legs.append(_Leg(order, market, got))
        for leg in legs:
            size = leg.order.size_lots
            levels = [one.got_lots * size // one.order.size_lots for one in legs]
            least = max(DUST_LOTS, leg.market.min_size_lots)
            missing = min(size, max(levels)) - leg.got_lots
            surplus = leg.got_lots - max(0, min(levels))
            leg.missing_lots = missing if missing >= least else 0
            leg.surplus_lots = surplus if surplus >= least else 0
        return legs

    # -- repair ----------------------------------------------------------------------------

    def _mend(
        self, key: PlanKey, plan: Plan, begun: PlanBegun, legs: list[_Leg]
    ) -> list[Submission]:
        now_ns = self._clock()
        if now_ns < self._tried_ns.get(key, 0) + RETRY_NS:
            return []
        self._tried_ns[key] = now_ns
        sure, maybe = self._pieces(plan.orders)
        note = self._store.positions.known_market
        best: list[_Step] = []
        best_micro = worst_micro([*sure, *maybe], (), note)
        for steps in self._choices(begun, legs, now_ns):
            added = [_piece(step) for step in steps]
            result = worst_micro([*sure, *maybe, *added], (), note)
            bound = worst_micro(sure, [*maybe, *added], note)
            if steps and result > best_micro and bound >= -begun.worst_micro:
                best, best_micro = steps, result
        if not best or self._core.killed or not self._core.ready:
            return []
        return self._core.take(self._messages(begun, best, now_ns))

    def _choices(self, begun: PlanBegun, legs: list[_Leg], now_ns: int) -> list[list[_Step]]:
        """Return the repairs the books offer now: completing, selling back."""
        complete: list[_Step] = []
        unwind: list[_Step] = []
        for leg in legs:
            side = leg.intent.side
            if leg.missing_lots and begun.repair == Repair.COMPLETE:
                reach = begun.slip_ticks if side == BUY else -begun.slip_ticks
                limit = leg.intent.price_ticks + reach
                complete += self._offer(leg, side, leg.missing_lots, limit, now_ns)
            if leg.surplus_lots:
                lots, back = leg.surplus_lots, self._settings.plan_unwind_ticks
                limit = leg.intent.price_ticks + (-back if side == BUY else back)
                if side == BUY:
                    lots = min(lots, self._trader.sellable(leg.intent.token))
                unwind += self._offer(leg, 1 - side, lots, limit, now_ns)
        return [complete, unwind]

    def _offer(self, leg: _Leg, side: int, lots: int, limit_ticks: int, now_ns: int) -> list[_Step]:
        """Return the order that takes these shares now, as far as price and depth allow."""
        book, _ = self._markets.book(leg.market.index, now_ns)
        if not book.usable or not book.trusted:
            return []
        price = taken = 0
        for ticks, offered in _ladder(book, leg.intent.outcome, side):
            if taken >= lots or (ticks > limit_ticks if side == BUY else ticks < limit_ticks):
                break
            price, taken = ticks, taken + offered
        lots = min(lots, taken)
        lots -= lots % DUST_LOTS
        if lots < max(1, leg.market.min_size_lots):
            return []
        return [_Step(leg, side, price, lots)]

    def _messages(self, begun: PlanBegun, steps: Sequence[_Step], now_ns: int) -> list[RingIntent]:
        first = OWN_SEQUENCE | self._store.journal.next_sequence
        messages = []
        for sequence, step in enumerate(steps, start=first):
            intent, market = step.leg.intent, step.leg.market
            book, _ = self._markets.book(market.index, now_ns)
            messages.append(
                RingIntent(
                    producer_sequence=sequence,
                    created_ns=now_ns,
                    expires_ns=now_ns + ATTEMPT_NS,
                    seen_ns=now_ns,
                    event_recv_ns=0,
                    ingress_epoch=book.epoch,
                    plan=begun.plan,
                    producer=begun.producer,
                    account=intent.account,
                    strategy=intent.strategy,
                    market=market.index,
                    leg=0,
                    legs=1,
                    outcome=intent.outcome,
                    side=step.side,
                    order_type=int(OrderType.FAK),
                    flags=0,
                    price_ticks=step.price_ticks,
                    size_lots=step.lots,
                    edge_micro=0,
                    target=0,
                    plan_run_id=0 if begun.run_id == self._run_id else begun.run_id,
                )
            )
        return messages

    # -- end -------------------------------------------------------------------------------

    def _end(self, key: PlanKey, plan: Plan, legs: list[_Leg], *, in_proportion: bool) -> None:
        sure, _ = self._pieces(plan.orders)
        outcome = PlanOutcome.LEFT
        if not sure:
            outcome = PlanOutcome.NOTHING
        elif in_proportion:
            outcome = _proportion(plan, legs)
        fees = sum(piece.fee_micro for piece in sure)
        record = PlanEnded(
            *key,
            outcome=outcome,
            cash_micro=sum(piece.flow_micro for piece in sure) + fees,
            fees_micro=fees,
            pnl_micro=worst_micro(sure, (), self._store.positions.known_market),
            orders=len(plan.legs),
            repairs=len(plan.repairs),
        )
        self._store.commit(record, self._clock())
        self._tried_ns.pop(key, None)
        self._released.difference_update(leg.order_id for leg in plan.legs)
        self._news.notice(
            "plan ended", code=outcome.name, pnl_micro=record.pnl_micro, repairs=record.repairs
        )


def _quiet(order: Order) -> bool:
    """Return whether nothing of it can trade any more and every fill of it is known."""
    if order.state is OrderState.DONE:
        return True
    return order.state is OrderState.CLOSED and not order.in_flight and order.fills_complete


def _proportion(plan: Plan, legs: list[_Leg]) -> PlanOutcome:
    if not plan.repairs:
        return PlanOutcome.WHOLE
    empty = all(leg.got_lots < max(DUST_LOTS, leg.market.min_size_lots) for leg in legs)
    return PlanOutcome.UNWOUND if empty else PlanOutcome.COMPLETED


def _ladder(book: BookView, outcome: int, side: int) -> list[tuple[int, int]]:
    """Return (price, lots) that an order of this outcome and side can take, best first."""
    bids = book.bids or ((book.bid_ticks, book.bid_lots),)
    asks = book.asks or ((book.ask_ticks, book.ask_lots),)
    levels = asks if outcome == side else bids
    if outcome:
        return [(PRICE_TICKS_MAX - ticks, lots) for ticks, lots in levels if lots]
    return [(ticks, lots) for ticks, lots in levels if lots]


def _possible(market: MarketInfo, outcome: int, side: int, price_ticks: int, lots: int) -> Piece:
    """Return the piece an order comes to at its limit, with the largest fee it can meet."""
    if side == BUY:
        cash = notional_up_micro(lots, price_ticks)
    else:
        cash = notional_micro(lots, price_ticks)  # a better price leaves more after its fee
    fee = -(-cash * market.fee_rate_ppm // MICRO_PER_UNIT) + _ROUNDING_MICRO
    return Piece(market.condition_id, outcome, side, lots, cash, fee)


def _piece(step: _Step) -> Piece:
    return _possible(
        step.leg.market, step.leg.intent.outcome, step.side, step.price_ticks, step.lots
    )
