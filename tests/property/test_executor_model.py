"""The executor's core against a venue that loses, repeats, reorders and forgets, and deaths.

Hypothesis drives a core over a real journal and a toy venue that knows the truth. Whatever
happens, after every step: no second digest for an intent, nothing at the venue without a SENT
record, sums equal to their recomputation, and a restart that changes nothing. At the end, once
the venue has been listened to, the ledger is the venue's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oracle.desk import (
    CASH,
    RUN,
    SHARE,
    Desk,
    accepted,
    duplicate,
    market,
    order_event,
    rejected,
    taker_trade,
)
from overround.errors import InvariantError
from overround.execute.executor import Executor, Submission
from overround.execute.intents import RingIntent
from overround.execute.order import Order, OrderState
from overround.execute.resolve import RemedyKind, Resolver, resend
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.ledger.journal import replay
from overround.ledger.positions import Positions
from overround.ledger.records import (
    Failed,
    IntentKey,
    Kind,
    Record,
    Sent,
    Settled,
    Signed,
    decode,
)
from overround.venues.contract import OrderType
from overround.venues.polymarket.answers import OrderAnswer, no_answer
from overround.venues.polymarket.records import OrderEvent, TradeState, UserOrder, UserTrade

INFO = market(3)


class ToyVenue:
    """Takes each digest once; a taking order trades whole at once, a resting one when told."""

    def __init__(self) -> None:
        self.live: dict[str, int] = {}
        self.known: set[str] = set()
        self.trades: dict[str, UserTrade] = {}

    def post(self, order_id: str, *, taking: bool, size_lots: int) -> OrderAnswer:
        if order_id in self.known:
            return duplicate(order_id)
        self.known.add(order_id)
        if not taking:
            self.live[order_id] = size_lots
            return accepted(order_id, "live")
        trade_id = self.match(order_id, size_lots)
        return accepted(order_id, "matched", trade_id, taking_micro=size_lots)

    def match(self, order_id: str, size_lots: int) -> str:
        trade_id = f"t{len(self.trades)}"
        self.trades[trade_id] = taker_trade(order_id, INFO, trade_id, size_lots=size_lots)
        return trade_id

    def fill(self, order_id: str) -> None:
        self.match(order_id, self.live.pop(order_id))

    def settle(self, trade_id: str, state: TradeState) -> None:
        trade = self.trades[trade_id]
        if not trade.state.final:
            names = UserTrade.__struct_fields__
            values = {name: getattr(trade, name) for name in names}
            self.trades[trade_id] = UserTrade(**{**values, "state": state})

    def listing(self) -> list[UserOrder]:
        return [
            order_event(one, INFO, OrderEvent.LISTING, size_lots=size)
            for one, size in self.live.items()
        ]


class ExecutorMachine(RuleBasedStateMachine):
    """Steps of intents, answers, losses, news, listings and deaths in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.desk = Desk(self.folder)
        self.venue = ToyVenue()
        self.sequence = 0
        self.under_way: dict[str, tuple[bool, int]] = {}

    def teardown(self) -> None:
        self.desk.close()
        shutil.rmtree(self.folder)

    def _intend(self, size: int, rests: bool, lives_ms: int, again: bool) -> Submission | None:
        changes: dict[str, int] = {
            "size_lots": size * SHARE // 100,
            "expires_ns": self.desk.now_ns + lives_ms * 1_000_000,
        }
        if rests:
            changes |= {"order_type": int(OrderType.GTC), "price_ticks": 4_700}
        message = self.desk.intent(self.sequence, **changes)
        self.sequence += 1
        found = self.desk.core.take([message])
        if again:
            assert self.desk.core.take([message]) == []
        return found[0] if found else None

    @rule(
        size=st.integers(500, 2_000),
        rests=st.booleans(),
        lives_ms=st.sampled_from([500, 10_000]),
        again=st.booleans(),
        late_ms=st.sampled_from([0, 0, 0, 600]),
        fate=st.sampled_from(
            ["answer", "lose before", "lose after", "under way", "refuse", "no connection", "die"]
        ),
    )
    def trade(
        self, size: int, rests: bool, lives_ms: int, again: bool, late_ms: int, fate: str
    ) -> None:
        submission = self._intend(size, rests, lives_ms, again)
        self.desk.tick(late_ms)
        if submission is not None and self.desk.core.begin(submission):
            self._exchange(submission, fate)

    @rule(size=st.integers(500, 2_000))
    def sign_and_die(self, size: int) -> None:
        self._intend(size, False, 500, False)
        self.die()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def arrive_late(self, data: st.DataObject) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.under_way)))
        taking, size_lots = self.under_way.pop(order_id)
        self.venue.post(order_id, taking=taking, size_lots=size_lots)

    def _exchange(self, submission: Submission, fate: str) -> None:
        (order,) = submission.orders
        self.desk.tick(1)
        if fate == "no connection":
            self.desk.core.unsent(submission, fate)
            return
        answer = no_answer(order.order_id, fate)
        if fate == "refuse" and order.order_id not in self.venue.known:
            answer = rejected(order.order_id)
        elif fate == "under way":
            self.under_way[order.order_id] = (order.taking, order.size_lots)
        elif fate != "lose before":
            truth = self.venue.post(order.order_id, taking=order.taking, size_lots=order.size_lots)
            answer = truth if fate in ("answer", "refuse") else answer
        if fate == "die":
            self.die()
            return
        self.desk.core.answer(submission, [answer])
        self.desk.settlement.close(order)

    @rule()
    def die(self) -> None:
        before = self.desk.store.positions.view(), dict(self.desk.store.tally)
        self.desk.close()
        self.desk.open()
        assert (self.desk.store.positions.view(), dict(self.desk.store.tally)) == before
        self.desk.resolver.restart()

    @precondition(lambda self: self.venue.trades)
    @rule(data=st.data(), final=st.sampled_from([TradeState.CONFIRMED, TradeState.FAILED, None]))
    def news(self, data: st.DataObject, final: TradeState | None) -> None:
        trade_id = data.draw(st.sampled_from(sorted(self.venue.trades)))
        stale = self.venue.trades[trade_id]
        if final is not None:
            self.venue.settle(trade_id, final)
        self.desk.settlement.on_trade(self.venue.trades[trade_id])
        self.desk.settlement.on_trade(stale)  # overtaken news changes nothing

    @precondition(lambda self: self.venue.live)
    @rule(data=st.data(), gone=st.booleans())
    def at_the_venue(self, data: st.DataObject, gone: bool) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.venue.live)))
        if gone:
            del self.venue.live[order_id]
            self.desk.settlement.on_order(order_event(order_id, INFO, OrderEvent.CANCELLATION))
        else:
            self.venue.fill(order_id)

    @rule(ms=st.sampled_from([10, 700, 3_100]), trades=st.booleans())
    def compare(self, ms: int, trades: bool) -> None:
        self.desk.tick(ms)
        asked_ns = self.desk.now_ns
        listing = self.venue.listing()
        self.desk.settlement.apply(list(self.venue.trades.values()))
        if trades:
            self.desk.settlement.apply(list(self.venue.trades.values()))
        remedies, _ = self.desk.resolver.sweep(listing, asked_ns)
        for remedy in remedies:
            if remedy.kind is RemedyKind.CANCEL:
                if self.venue.live.pop(remedy.order.order_id, None) is not None:
                    self.desk.settlement.gone(remedy.order, "canceled")
                    self.desk.settlement.close(remedy.order)
            else:
                again = resend(remedy.order)
                if self.desk.core.begin(again):
                    self._exchange(again, "answer")

    @rule()
    def give_up_one_that_is_under_way(self) -> None:
        self.trade(
            size=1_000, rests=False, lives_ms=500, again=False, late_ms=0, fate="under way"
        )  # fmt: skip
        for _ in range(2):
            self.compare(ms=3_100, trades=True)

    @rule()
    def repeat_one_that_was_lost(self) -> None:
        self.trade(
            size=1_000, rests=False, lives_ms=10_000, again=False, late_ms=0, fate="lose before"
        )  # fmt: skip
        self.compare(ms=10, trades=True)

    # -- what always holds ---------------------------------------------------------------

    @invariant()
    def one_digest_an_intent_and_none_unjournaled(self) -> None:
        digests: dict[tuple[int, ...], str] = {}
        sent: set[str] = set()
        for raw in replay(self.folder):
            if raw.kind in (Kind.SIGNED, Kind.SENT):
                record = decode(raw)
                if isinstance(record, Signed):
                    assert digests.setdefault(record.key, record.order_id) == record.order_id
                elif isinstance(record, Sent):
                    sent |= set(record.order_ids)
        assert self.venue.known <= sent

    @invariant()
    def sums_are_what_they_sum(self) -> None:
        store = self.desk.store
        orders: list[Order] = list(store.by_key.values())
        assert store.reserved_micro() == sum(order.reserved_micro for order in orders)
        bought = sum(order.open_lots for order in orders if order.intent.side == 0)
        assert store.open_lots(INFO.token_yes, 0) == bought
        working = {key for key, order in store.by_key.items() if order.state != OrderState.DONE}
        assert set(store.working) == working

    @invariant()
    def what_the_venue_holds_stays_reserved(self) -> None:
        store = self.desk.store
        for order_id, size_lots in self.venue.live.items():
            order = store.by_id[order_id]
            if order.state is not OrderState.DONE:  # proved absent, then found: cancelled
                assert order.open_lots >= size_lots - order.filled_lots

    @rule()
    def in_the_end_the_ledger_is_the_venues(self) -> None:
        for order_id in sorted(self.under_way):
            taking, size_lots = self.under_way.pop(order_id)
            self.venue.post(order_id, taking=taking, size_lots=size_lots)
        for trade_id in self.venue.trades:
            self.venue.settle(trade_id, TradeState.CONFIRMED)
        for _ in range(4):
            self.compare(3_100, True)
        store = self.desk.store
        confirmed = [t for t in self.venue.trades.values() if t.state is TradeState.CONFIRMED]
        lots = sum(trade.size_lots for trade in confirmed)
        assert store.positions.lots(INFO.token_yes) == lots
        assert store.positions.view().pending_fills == 0
        cash = sum(trade.size_lots * trade.price_ticks // 10_000 for trade in confirmed)
        assert store.positions.view().cash_micro == CASH - cash - store.positions.view().fees_micro
        states = {order.state for order in store.working.values()}
        assert states <= {OrderState.LIVE, OrderState.SIGNED}, states


TestExecutorModel = ExecutorMachine.TestCase
TestExecutorModel.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, print_blob=True
)


def _no_sent_record(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Store.commit_ahead

    def skip(self: Store, record: Record, now_ns: int) -> int:
        if isinstance(record, Sent):
            self._apply(record, now_ns)
            return 0
        return commit(self, record, now_ns)

    monkeypatch.setattr(Store, "commit_ahead", skip)


def _new_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    salts = count(1)
    monkeypatch.setattr("overround.execute.build.order_salt", lambda _: next(salts))
    take = Executor.take

    def forget(self: Executor, messages: Iterable[RingIntent]) -> list[Submission]:
        for message in messages:
            key = IntentKey(RUN, message.producer, message.producer_sequence)
            self.store.by_key.pop(key, None)
        return take(self, messages)

    monkeypatch.setattr(Executor, "take", forget)


def _ignore_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Positions.apply
    monkeypatch.setattr(
        Positions,
        "apply",
        lambda self, record: apply(
            self,
            Settled(record.trade_id, record.order_id) if isinstance(record, Failed) else record,
        ),
    )


def _drop_late_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    on_trade = Settlement.on_trade

    def only_working(self: Settlement, trade: UserTrade) -> int:
        order = self._store.by_id.get(trade.taker_order_id)
        if order is not None and order.state is OrderState.DONE:
            return 0
        return on_trade(self, trade)

    monkeypatch.setattr(Settlement, "on_trade", only_working)


def _free_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resolver, "resolve", lambda *_: None)


@pytest.mark.parametrize(
    "sabotage",
    [_no_sent_record, _new_salt, _ignore_failed, _drop_late_fills, _free_unknown],
    ids=lambda one: one.__name__.strip("_"),
)
def test_the_model_sees_every_sabotage(
    monkeypatch: pytest.MonkeyPatch, sabotage: Callable[[pytest.MonkeyPatch], None]
) -> None:
    sabotage(monkeypatch)
    hunting = settings(
        max_examples=300,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, InvariantError)):
        run_state_machine_as_test(ExecutorMachine, settings=hunting)
