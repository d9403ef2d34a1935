"""The core of the executor: intents in, submissions out, answers in. No I/O but the journal.

Order of events for one intent: INTENT is journaled when it is taken (the ring's cursor advances
only after that); a plan waits until all its legs are there; the gate judges every leg, and one
refusal refuses the plan; all legs are signed and journaled; SENT is journaled; the bytes leave.
A crash between any two of these leaves a state that the next start can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from overround.decide.risk import Refusal, RefusalCode, RiskGate
from overround.errors import OrderError
from overround.execute.build import OrderBuilder, Prepared
from overround.execute.cancels import CancelQueue
from overround.execute.intents import RingIntent, intent_record
from overround.execute.judge import Extra, Moment, account_view, order_view
from overround.execute.markets import MarketInfo, Markets
from overround.execute.news import News, ReportKind
from overround.execute.order import Order, OrderState
from overround.execute.pool import OrderPool, Ready
from overround.execute.store import Store
from overround.execute.submission import Submission, acknowledge, ended
from overround.layout.intent import BUY, IntentFlag
from overround.ledger.records import (
    Ack,
    Cancel,
    Intent,
    IntentKey,
    Reject,
    Sent,
    Signed,
    Unknown,
)
from overround.observe.metrics import Histogram, Value
from overround.venues.polymarket.answers import OrderAnswer, Outcome

__all__ = ["Executor", "Submission", "acknowledge", "ended"]

PlanOpener = Callable[[Sequence[tuple[Intent, MarketInfo]]], Refusal | None]

# An enum's own operators are Python: as plain numbers they cost a tenth.
CANCEL: Final = int(IntentFlag.CANCEL)
ORDERED: Final = int(IntentFlag.ORDERED)

PLANS_MAX: Final = 256
"""Plans waiting for legs; a producer that leaves more open has a bug and is refused."""


@dataclass(slots=True)
class _Leg:
    message: RingIntent
    order: Order
    market: MarketInfo
    prepared: Prepared | None = None
    ready: Ready | None = None
    """The order of the pool that it would take."""


class Executor:
    """Takes intents of one account through gate, signing and journal."""

    def __init__(
        self,
        store: Store,
        gate: RiskGate,
        markets: Markets,
        builder: OrderBuilder,
        news: News,
        *,
        run_id: int,
        clock: Callable[[], int],
        epoch_ms: Callable[[], int],
        killed: Callable[[], bool],
        trip: Callable[[str], None],
        shadow: bool = False,
        account: int = 0,
        pool: OrderPool | None = None,
    ) -> None:
        self.store = store
        self.gate = gate
        self.markets = markets
        self.builder = builder
        self.news = news
        self.cancels: list[Order] = []
        """Orders whose cancel was asked for and is still to be sent; the transport drains it."""
        self._late_cancels = CancelQueue(gate, news, clock)
        self.ready = False
        """Whether the account was reconciled and no stop has begun: else nothing is sent."""
        self.open_plan: PlanOpener | None = None
        """Journals a plan of several legs before they are signed, or says why it must not begin."""
        self._run_id = run_id
        self._clock = clock
        self._epoch_ms = epoch_ms
        self._killed = killed
        self._book = markets.book
        self._stages = True
        self._trip = trip
        self._shadow = shadow
        self._account = account
        self._pool = pool
        self._noted: dict[int, MarketInfo] = {}
        self._untold: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._plans: dict[tuple[int, int], list[_Leg]] = {}

    @property
    def killed(self) -> bool:
        """Whether the kill latch is set: nothing is sent."""
        return self._killed()

    def take(
        self,
        messages: Iterable[RingIntent],
        send_now: Callable[[Submission], bool] | None = None,
    ) -> list[Submission]:
        """Journal these intents and return what is ready to be sent.

        ``send_now`` is offered each submission before the next intent is looked at, and returns
        whether it has sent it; those are not returned. After the return the ring may be advanced:
        every intent is in the journal, or was before.
        """
        ready: list[Submission] = []
        for message in messages:
            submission = self._take(message)
            if submission is not None and not (send_now and send_now(submission)):
                ready.append(submission)
            self.tell()
        return ready

    @contextmanager
    def at(self, moment: Moment) -> Iterator[None]:
        """Take, judge and book as of a moment that has passed; its stages are not timed."""
        usual = self._clock, self._epoch_ms, self._killed, self._book, self._stages
        self._clock, self._epoch_ms = moment.clock, moment.wall_ms
        self._killed, self._book, self._stages = moment.killed, moment.book, False
        try:
            yield
        finally:
            self._clock, self._epoch_ms, self._killed, self._book, self._stages = usual

    def tell(self) -> None:
        """Give out the news of the last steps; they waited until the bytes had left."""
        self.store.settle()
        untold, self._untold = self._untold, []
        for call, values in untold:
            call(*values)

    def _later(self, call: Callable[..., None], *values: Any) -> None:
        self._untold.append((call, values))

    def _stage(self, stage: Histogram, begun_ns: int) -> None:
        if self._stages:
            self._later(self.news.time, stage, self._clock() - begun_ns)

    def _take(self, message: RingIntent) -> Submission | None:
        now_ns = self._clock()
        key = IntentKey(self._run_id, message.producer, message.producer_sequence)
        if message.flags & CANCEL:
            self._take_cancel(IntentKey(self._run_id, message.producer, message.target))
            return None
        if key in self.store.by_key:
            self.news.count(Value.INTENTS_DUPLICATE)
            return None
        taken_ns = max(0, now_ns - message.created_ns)
        self._later(self.news.time, Histogram.INTENT_TO_TAKEN, taken_ns)
        market = self.markets.info(message.market)
        order = self._journal_intent(key, message, market, now_ns)
        order.expires_ns = message.expires_ns
        problem = message.problem()
        if problem or message.account != self._account:
            text = problem or f"account {message.account} is not served here"
            self.refuse([order], Refusal(RefusalCode.MALFORMED, text))
            return None
        if market is None:
            text = f"market {message.market} is not in the catalog"
            self.refuse([order], Refusal(RefusalCode.MARKET_UNKNOWN, text))
            return None
        return self._collect(_Leg(message, order, market))

    def _journal_intent(
        self, key: IntentKey, message: RingIntent, market: MarketInfo | None, now_ns: int
    ) -> Order:
        if market is not None and self._noted.get(market.index) is not market:
            self._noted[market.index] = market
            note = market.note()
            if self.store.positions.known_market(market.condition_id) != note:
                self.store.commit(note, now_ns)
        intent = intent_record(self._run_id, message, market, self._epoch_ms())
        self.store.commit(intent, now_ns)
        return self.store.by_key[key]

    def _collect(self, leg: _Leg) -> Submission | None:
        if leg.message.legs == 1:
            return self._decide([leg])
        place = (leg.message.producer, leg.message.plan)
        legs = self._plans.setdefault(place, [])
        legs.append(leg)
        if len(legs) < leg.message.legs:
            if len(self._plans) > PLANS_MAX:
                self._drop_plan(next(iter(self._plans)), f"more than {PLANS_MAX} plans are open")
            return None
        del self._plans[place]
        if sorted(one.message.leg for one in legs) != list(range(leg.message.legs)):
            text = "legs of the plan are numbered twice"
            self.refuse([one.order for one in legs], Refusal(RefusalCode.PLAN, text))
            return None
        return self._decide(sorted(legs, key=lambda one: one.message.leg))

    def expire_plans(self) -> int:
        """Refuse plans whose missing legs did not come in time; return how many."""
        now_ns = self._clock()
        late = [
            place
            for place, legs in self._plans.items()
            if now_ns >= min(leg.message.expires_ns for leg in legs)
        ]
        for place in late:
            self._drop_plan(place, "the plan's other legs never came")
        return len(late)

    def _drop_plan(self, place: tuple[int, int], text: str) -> None:
        orders = [leg.order for leg in self._plans.pop(place)]
        self.refuse(orders, Refusal(RefusalCode.PLAN, text))

    def _decide(self, legs: list[_Leg]) -> Submission | None:
        begun_ns = self._clock()
        refusal, guilty = self._judge(legs, begun_ns)
        self._stage(Histogram.GATE, begun_ns)
        if refusal is None and len(legs) > 1 and self.open_plan is not None:
            refusal = self.open_plan([(leg.order.intent, leg.market) for leg in legs])
            guilty = -1
        if refusal is not None:
            self.refuse([leg.order for leg in legs], refusal, guilty)
            return None
        for leg in legs:
            begun_ns = self._clock()
            signed = self._sign(leg)
            self._stage(Histogram.SIGN, begun_ns)
            signed_ns = self._clock()
            self.store.commit_ahead(signed, signed_ns)
            self._stage(Histogram.JOURNAL, signed_ns)
        orders = tuple(leg.order for leg in legs)
        if self._shadow:
            self.refuse(list(orders), Refusal(RefusalCode.SHADOW, "mode shadow: not sent"))
            return None
        if legs[0].message.flags & ORDERED:
            orders = orders[:1]  # the plan desk releases the others
        first = legs[0].message
        return Submission(orders, first.event_recv_ns, created_ns=first.created_ns)

    def _sign(self, leg: _Leg) -> Signed:
        """Return the order of a leg that the gate let through: out of the pool, or signed now."""
        intent, ready, pool = leg.order.intent, leg.ready, self._pool
        hit = pool is not None and ready is not None and pool.take(ready)
        if pool is not None:
            self._later(pool.note, intent, leg.market, hit)
        if hit and ready is not None:
            return ready.sealed.signed(intent, ready.prepared, ready.number)
        assert leg.prepared is not None
        return self.builder.sign(intent, leg.market, leg.prepared)

    def _judge(self, legs: list[_Leg], now_ns: int) -> tuple[Refusal | None, int]:
        extra = Extra()
        for position, leg in enumerate(legs):
            refusal = self._judge_leg(leg, extra, now_ns)
            if refusal is not None:
                return refusal, position
        return None, 0

    def _prepare(self, leg: _Leg, tick_ticks: int, now_ns: int) -> str:
        """Set a leg's amounts, its order if the pool has it; return why it cannot be built."""
        intent = leg.order.intent
        if self._pool is not None:
            leg.ready = self._pool.find(intent, leg.market, tick_ticks, now_ns)
            if leg.ready is not None:
                leg.prepared = leg.ready.prepared
                return ""
        try:
            leg.prepared = self.builder.prepare(intent, leg.market, tick_ticks)
        except OrderError as error:
            return str(error)
        return ""

    def _judge_leg(self, leg: _Leg, extra: Extra, now_ns: int) -> Refusal | None:
        intent, message = leg.order.intent, leg.message
        if not self.ready:
            return Refusal(RefusalCode.NOT_READY, "the account is not reconciled yet")
        book, tick_ticks = self._book(message.market, now_ns)
        unbuildable = self._prepare(leg, tick_ticks or leg.market.tick_ticks, now_ns)
        cost_micro = leg.prepared.cost_micro if leg.prepared is not None else 0
        refusal = self.gate.admit(
            order_view(intent, leg.market, message.expires_ns, message.ingress_epoch),
            leg.market.view(tick_ticks),
            book,
            account_view(self.store, intent.token, extra),
            cost_micro=cost_micro,
            now_ns=now_ns,
            killed=self._killed(),
        )
        if refusal is None and unbuildable:
            refusal = Refusal(RefusalCode.UNBUILDABLE, unbuildable)
        if refusal is None:
            extra.cost_micro += cost_micro
            lots = extra.bought_lots if intent.side == BUY else extra.sold_lots
            lots[intent.token] = lots.get(intent.token, 0) + intent.size_lots
        elif refusal.code is RefusalCode.LOSS:
            self._trip(refusal.text)
        return refusal

    def refuse(self, orders: Sequence[Order], refusal: Refusal, guilty: int = -1) -> None:
        """End orders unsent. Where one leg is ``guilty`` the others are refused with the plan."""
        now_ns = self._clock()
        for position, order in enumerate(orders):
            mine = guilty < 0 or position == guilty
            code = refusal.code if mine else RefusalCode.PLAN
            text = refusal.text if mine else f"leg {guilty} was refused: {refusal.code.name}"
            self.store.commit(ended(order, text, refused=True, reason=code), now_ns)
            self.news.report(ReportKind.REFUSED, order.intent, reason=code)
        if refusal.code is not RefusalCode.SHADOW:
            self.news.notice("refused", code=refusal.code.name, text=refusal.text)

    def begin(self, submission: Submission) -> bool:
        """Journal that these bytes leave now; False if they must not.

        Call it right before the first byte is handed over, with nothing awaited in between.
        """
        now_ns = self._clock()
        ready = OrderState.SIGNED if submission.attempt == 1 else OrderState.UNKNOWN
        if any(order.state is not ready or order.in_flight for order in submission.orders):
            return False  # another errand was faster, or an answer came after all
        refusal = None
        if self._killed():
            refusal = Refusal(RefusalCode.KILLED, "the kill latch was set before the send")
        elif not self.ready:
            refusal = Refusal(RefusalCode.NOT_READY, "the executor stops: nothing more is sent")
        elif any(order.cancel_asked for order in submission.orders):
            refusal = Refusal(RefusalCode.EXPIRED, "cancelled before it could be sent")
        elif any(now_ns >= order.expires_ns for order in submission.orders):
            refusal = Refusal(RefusalCode.EXPIRED, "expired before it could be sent")
        if refusal is not None:
            if submission.attempt == 1:
                self.refuse(submission.orders, refusal)
            return False
        self.store.commit_ahead(Sent(submission.order_ids, submission.attempt), now_ns)
        submission.sent_ns = now_ns
        first = submission.attempt == 1
        for order in submission.orders:
            order.in_flight = True
            self._later(self._report_sent, order)
        if first and submission.event_recv_ns:
            elapsed_ns = max(0, now_ns - submission.event_recv_ns)
            self._later(self.news.time, Histogram.RECV_TO_SENT, elapsed_ns)
        return True

    def wrote(self, submission: Submission) -> None:
        """Take note that the bytes have left; the news that waited for it goes out."""
        if submission.attempt == 1 and submission.created_ns:
            elapsed_ns = max(0, self._clock() - submission.created_ns)
            self.news.time(Histogram.INTENT_TO_WIRE, elapsed_ns)
        self.tell()

    def _report_sent(self, order: Order) -> None:
        self.news.report(ReportKind.SENT, order.intent, order_id=order.order_id)

    def answer(self, submission: Submission, answers: Sequence[OrderAnswer]) -> list[Order]:
        """Apply the venue's answers, one an order; return the orders they touch."""
        self.tell()
        now_ns = self._clock()
        self.news.time(Histogram.SEND_TO_ACK, max(0, now_ns - submission.sent_ns))
        for order, answer in zip(submission.orders, answers, strict=True):
            order.in_flight = False
            if answer.outcome is Outcome.ACCEPTED:
                self._accepted(order, answer, now_ns)
            elif order.state is not OrderState.SENT:
                continue  # the user channel was faster and knows better
            elif answer.outcome is Outcome.DUPLICATE:
                acknowledge(self.store, self.news, order, Ack(order.order_id, "duplicated"), now_ns)
            elif answer.outcome is Outcome.REJECTED and order.attempts == 1:
                self._rejected(order, answer, now_ns)
            else:
                # A refused repeat says nothing of the first copy, which may still arrive.
                self.store.commit(Unknown(order.order_id, answer.text), now_ns)
                self.news.report(ReportKind.UNKNOWN, order.intent, order_id=order.order_id)
                self.news.notice("outcome unknown", code=answer.reason.name, text=answer.text)
        return list(submission.orders)

    def unsent(self, submission: Submission, text: str) -> None:
        """Say that no byte of a submission left (no connection): it does not exist there."""
        self.tell()
        now_ns = self._clock()
        for order in submission.orders:
            order.in_flight = False
            if order.state is not OrderState.SENT:
                continue
            if order.attempts == 1:
                self.store.commit(Reject(order.order_id, 0, text), now_ns)
                self.news.report(ReportKind.REJECTED, order.intent, order_id=order.order_id)
            else:
                self.store.commit(Unknown(order.order_id, text), now_ns)

    def _accepted(self, order: Order, answer: OrderAnswer, now_ns: int) -> None:
        matched = answer.taking_micro if order.intent.side == BUY else answer.making_micro
        acknowledge(
            self.store, self.news, order,
            Ack(order.order_id, answer.status, answer.trade_ids, matched or 0), now_ns,
        )  # fmt: skip

    def _rejected(self, order: Order, answer: OrderAnswer, now_ns: int) -> None:
        self.store.commit(Reject(order.order_id, answer.reason, answer.text), now_ns)
        self.news.report(
            ReportKind.REJECTED, order.intent, order_id=order.order_id, reason=answer.reason
        )
        self.news.notice("rejected", code=answer.reason.name, text=answer.text)

    def _take_cancel(self, target: IntentKey) -> None:
        order = self.store.by_key.get(target)
        if order is None or order.state is OrderState.DONE:
            return
        if order.state is OrderState.NEW:
            place = (order.intent.producer, order.intent.plan)
            if place in self._plans:
                self._drop_plan(place, "cancelled before it was sent")
            return
        if order.state is OrderState.SIGNED:
            order.cancel_asked = True  # no byte left yet: ``begin`` refuses it
            return
        if self._late_cancels.admit(order):
            self.request_cancel(order, "strategy")

    def release_cancels(self) -> None:
        """Ask for the delayed cancels whose turn has come."""
        for order in self._late_cancels.due():
            self.request_cancel(order, "strategy")

    def request_cancel(self, order: Order, reason: str) -> None:
        """Journal the wish to cancel an order and queue it for the transport."""
        self.store.commit(Cancel(order.order_id, True, reason), self._clock())
        self.cancels.append(order)
