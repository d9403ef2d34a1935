"""The pool: likely orders are signed ahead, used at most once, and never on other terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from oracle.desk import KEY, OWNER, SHARE, Desk, S, market, rejected, taker_trade
from overround.decide.risk import BookView, RefusalCode
from overround.errors import InvariantError
from overround.execute.build import OrderBuilder
from overround.execute.order import OrderState
from overround.execute.pool import SHAPES_MAX, OrderPool, Ready
from overround.execute.wiring import use_key
from overround.layout.intent import IntentFlag
from overround.ledger.journal import replay
from overround.ledger.records import Kind, Pooled, PoolVoid, Sent, Signed, decode, encode
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.orders import OrderSigner


class PoolDesk(Desk):
    """A desk whose executor has a pool."""

    size = 64

    def open(self) -> None:
        """Open the journal and build core and pool anew."""
        super().open()
        self.pool = OrderPool(
            self.store, OrderBuilder(OrderSigner(Signer(KEY)), owner=OWNER, chain_id=137),
            self.markets, self.news, size=self.size, reach=2, age_max_ns=60 * S,
            clock=lambda: self.now_ns, epoch_ms=lambda: self.now_ms,
        )  # fmt: skip
        self.core._pool = self.pool

    def fill(self) -> None:
        """Let the loop be idle for long enough."""
        self.tick(1_000)
        while self.pool.refill(4):
            pass

    def learn(self, sequence: int = 0, **changes: int) -> None:
        """Send one intent, so that the pool knows its shape, and fill."""
        self.send(self.intent(sequence, **changes))
        self.core.tell()
        self.fill()

    def ready(self) -> list[Ready]:
        """What is signed ahead now, oldest first."""
        return list(self.pool._ready.values())

    def records(self, kind: Kind) -> list:  # type: ignore[type-arg]
        """The journal's records of a kind."""
        return [decode(raw) for raw in replay(self.folder) if raw.kind == kind]


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[PoolDesk]:
    desk = PoolDesk(tmp_path)
    yield desk
    desk.close()


def last_signed(desk: PoolDesk) -> Signed:
    return desk.records(Kind.SIGNED)[-1]  # type: ignore[no-any-return]


def test_a_shape_that_was_wanted_is_signed_ahead_around_the_best_price(desk: PoolDesk) -> None:
    desk.learn()
    assert [one.price_ticks for one in desk.ready()] == [5_000, 5_100, 4_900, 5_200, 4_800]
    assert len(desk.pool) == 5


def test_signing_ahead_and_voiding_leave_no_record(desk: PoolDesk) -> None:
    desk.send(desk.intent(0))
    desk.core.tell()
    before = desk.store.journal.next_sequence
    desk.fill()
    assert len(desk.pool) == 5
    desk.pool.clear("test")
    assert desk.store.journal.next_sequence == before
    assert desk.pool.voided == {"test": 5}


def test_an_intent_takes_the_pooled_order_and_the_venue_would_take_it(desk: PoolDesk) -> None:
    desk.learn()
    pooled = {one.sealed.order_id: one for one in desk.ready()}
    submission = desk.send(desk.intent(1))
    (order_id,) = submission.order_ids
    signed = last_signed(desk)
    assert (signed.pool, signed.order_id) == (pooled[order_id].number, order_id)
    sealed = pooled[order_id].sealed
    assert (signed.salt, signed.body) == (sealed.salt, sealed.body)
    assert submission.request.body == signed.body
    order = msgspec.json.decode(signed.body)["order"]
    assert (order["timestamp"], order["salt"]) == (str(signed.timestamp_ms), signed.salt)
    assert len(desk.pool) == 4
    assert desk.records(Kind.SENT)[-1] == Sent((order_id,))


def test_pooled_and_signed_for_the_intent_cost_and_reserve_the_same(desk: PoolDesk) -> None:
    desk.learn()
    desk.send(desk.intent(1))
    plain, pooled = desk.order(0).signed, desk.order(1).signed
    assert plain is not None
    assert pooled is not None
    assert (plain.pool, pooled.pool > 0) == (0, True)
    for name in ("maker_micro", "taker_micro", "reserved_micro"):
        assert getattr(plain, name) == getattr(pooled, name)


def test_no_order_serves_two_intents(desk: PoolDesk) -> None:
    desk.learn()
    ids = [desk.send(desk.intent(number)).order_ids[0] for number in range(1, 4)]
    assert len(set(ids)) == 3
    assert [desk.order(number).signed.pool > 0 for number in range(1, 4)] == [True, False, False]


def test_two_legs_that_look_alike_get_two_orders(desk: PoolDesk) -> None:
    desk.learn()
    legs = [desk.intent(1 + leg, plan=1, leg=leg, legs=2) for leg in range(2)]
    submission = desk.send(*legs)
    assert len(set(submission.order_ids)) == 2
    assert [order.signed.pool > 0 for order in submission.orders if order.signed] == [True, False]


def test_the_gate_judges_a_pooled_order_as_any_other(desk: PoolDesk) -> None:
    desk.learn()
    desk.markets.books[3] = BookView(True, False, 4, 4_800, 5_000, 100 * SHARE, 100 * SHARE)
    assert desk.core.take([desk.intent(1)]) == []
    assert desk.order(1).reason == RefusalCode.BOOK_UNTRUSTED
    assert len(desk.pool) == 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tick_ticks": 10}, "tick changed"),
        ({"fee_rate_ppm": 60_000}, "market changed"),
        ({"neg_risk": True}, "market changed"),
        ({"token_yes": str((1 << 248) + 7)}, "market changed"),
    ],
)
def test_changed_terms_are_never_sent_and_are_voided(
    desk: PoolDesk, changes: dict[str, object], reason: str
) -> None:
    desk.learn()
    desk.markets.infos[3] = market(3, **changes)
    desk.send(desk.intent(1))
    assert last_signed(desk).pool == 0
    old = max(one.number for one in desk.ready())
    desk.fill()
    assert desk.pool.voided == {reason: 5}
    desk.send(desk.intent(2))
    assert last_signed(desk).pool > old


def test_a_protocol_change_signs_for_the_other_contract(desk: PoolDesk) -> None:
    desk.learn()
    desk.markets.infos[3] = replace(market(3), token_yes=str((1 << 248) + 7))
    desk.fill()
    desk.send(desk.intent(1))
    signed = last_signed(desk)
    desk.core._pool = None
    desk.send(desk.intent(2))
    fresh = msgspec.json.decode(last_signed(desk).body)["order"]
    ahead = msgspec.json.decode(signed.body)["order"]
    assert signed.pool > 0
    assert ahead["tokenId"] == fresh["tokenId"] == str((1 << 248) + 7)


def test_an_old_order_is_not_used(desk: PoolDesk) -> None:
    desk.learn()
    desk.tick(60_001)
    desk.send(desk.intent(1))
    assert last_signed(desk).pool == 0
    desk.fill()
    assert desk.pool.voided == {"aged": 5}


def test_everything_is_voided_when_the_credentials_change(desk: PoolDesk) -> None:
    desk.learn()
    desk.pool.clear("credentials changed")
    assert len(desk.pool) == 0
    assert desk.pool.voided == {"credentials changed": 5}


def test_another_api_key_is_in_everything_that_is_signed_from_then_on(desk: PoolDesk) -> None:
    new = "0c0ffee0-0000-4000-8000-00000000beef"
    desk.pool._builder = desk.core.builder  # as wiring has it
    desk.learn()
    before = [ready.sealed.body for ready in desk.ready()]
    assert before
    assert all(OWNER.encode() in body for body in before)
    parts: Any = SimpleNamespace(core=desk.core, settlement=desk.settlement, pool=desk.pool)
    use_key(parts, new)
    assert desk.pool.voided == {"key changed": len(before)}
    desk.send(desk.intent(1))
    desk.core.tell()
    desk.fill()
    desk.send(desk.intent(2))
    bodies = [one.body for one in desk.records(Kind.SIGNED)[1:]]
    bodies += [ready.sealed.body for ready in desk.ready()]
    assert all(new.encode() in body and OWNER.encode() not in body for body in bodies)
    assert last_signed(desk).pool > 0  # the pool serves again
    order_id = last_signed(desk).order_id
    trade = msgspec.structs.replace(taker_trade(order_id, market(3)), owner=new)
    assert desk.settlement.on_trade(trade) >= 1


def test_a_restart_uses_nothing_of_the_dead_process(desk: PoolDesk) -> None:
    desk.learn()
    desk.send(desk.intent(1))
    old = last_signed(desk).pool
    assert old > 0
    desk.restart()
    desk.send(desk.intent(2))
    assert last_signed(desk).pool == 0
    desk.core.tell()
    desk.fill()
    desk.send(desk.intent(3))
    assert last_signed(desk).pool > old
    assert len({record.order_id for record in desk.records(Kind.SIGNED)}) == 4


def test_a_death_between_use_and_send_is_told_apart_at_the_next_start(desk: PoolDesk) -> None:
    desk.learn()
    desk.core.take([desk.intent(1)])  # SIGNED is journaled, SENT is not
    assert last_signed(desk).pool > 0
    desk.restart()
    order = desk.order(1)
    assert (order.state, order.refused, order.reason) == (
        OrderState.DONE, True, RefusalCode.RESTART
    )  # fmt: skip


def test_the_store_refuses_a_second_use_live_and_in_a_replay(desk: PoolDesk) -> None:
    desk.learn()
    desk.send(desk.intent(1))
    used = last_signed(desk)
    desk.core._pool = None
    desk.core.take([desk.intent(2, legs=2)])  # waits for its other leg, unsigned
    again = msgspec.structs.replace(used, sequence=2)
    with pytest.raises(InvariantError):
        desk.store.commit(again, desk.now_ns)
    desk.store.journal.append(*encode(again))
    desk.close()
    with pytest.raises(InvariantError):
        desk.open()
    assert desk.journal is not None


def test_the_store_refuses_an_order_of_a_dead_processs_pool(desk: PoolDesk) -> None:
    desk.learn()
    desk.send(desk.intent(1))
    used = last_signed(desk)
    desk.restart()
    desk.core.take([desk.intent(2, legs=2)])
    for pool in (used.pool, 1):
        other = msgspec.structs.replace(used, sequence=2, order_id="0x1", pool=pool)
        with pytest.raises(InvariantError):
            desk.store.commit(other, desk.now_ns)


def test_records_of_an_older_executors_pool_are_read(desk: PoolDesk) -> None:
    desk.store.commit(Pooled(7, "0x1", "1", 0, 5_000, 1, 1, 1), 0)
    desk.store.commit(Pooled(8, "0x2", "1", 0, 5_000, 1, 1, 1), 0)
    desk.store.commit(PoolVoid((8,), "test"), 0)
    desk.core._pool = None
    (submission,) = desk.core.take([desk.intent(0)])
    desk.core.begin(submission)
    desk.core.answer(submission, [rejected(submission.order_ids[0])])
    used = last_signed(desk)
    desk.core.take([desk.intent(1, legs=2)])
    ahead = msgspec.structs.replace(used, sequence=1, order_id="0x1", pool=7)
    desk.store.commit(ahead, desk.now_ns)
    desk.restart()
    assert desk.store.by_id["0x1"].state is OrderState.DONE  # its process died before it was sent
    assert desk.store.pool_number == 8
    desk.learn(2)
    assert min(one.number for one in desk.ready()) == 9


def test_the_pool_is_bounded_and_makes_room_for_what_is_wanted_now(tmp_path: Path) -> None:
    PoolDesk.size = 8
    try:
        desk = PoolDesk(tmp_path)
        for number in range(4):
            desk.learn(number, size_lots=(10 + number) * SHARE)
            assert len(desk.pool) <= 8
        assert set(desk.pool.voided) == {"room for others"}
        desk.close()
    finally:
        PoolDesk.size = 64


def test_shapes_are_bounded(desk: PoolDesk) -> None:
    info = market(3)
    desk.send(desk.intent(0))
    template = desk.order(0).intent
    for size in range(2 * SHAPES_MAX):
        desk.pool.note(msgspec.structs.replace(template, size_lots=SHARE * (size + 5)), info, False)
    assert len(desk.pool._shapes) == SHAPES_MAX


def test_what_states_an_expiration_or_cannot_be_built_is_not_signed_ahead(desk: PoolDesk) -> None:
    info = market(3)
    desk.send(desk.intent(0))
    template = desk.order(0).intent
    gtd = msgspec.structs.replace(template, order_type=int(OrderType.GTD))
    tiny = msgspec.structs.replace(template, size_lots=1)
    desk.pool.clear("start")
    desk.pool._shapes.clear()
    desk.pool._due.clear()
    desk.pool.note(gtd, info, False)
    desk.pool.note(tiny, info, False)
    desk.fill()
    assert len(desk.pool) == 0


def test_resting_orders_are_signed_around_their_own_side(desk: PoolDesk) -> None:
    desk.learn(order_type=int(OrderType.GTC), price_ticks=4_700, flags=int(IntentFlag.POST_ONLY))
    prices = {one.price_ticks for one in desk.ready()}
    assert prices == {4_600, 4_700, 4_800, 4_900, 5_000}
    desk.send(
        desk.intent(1, order_type=int(OrderType.GTC), flags=int(IntentFlag.POST_ONLY),
                    price_ticks=4_700)
    )  # fmt: skip
    signed = last_signed(desk)
    assert signed.pool > 0
    body = msgspec.json.decode(signed.body)
    assert (body["orderType"], body["postOnly"]) == ("GTC", True)


def test_the_no_side_is_priced_from_the_mirrored_book(desk: PoolDesk) -> None:
    desk.learn(outcome=1, price_ticks=5_200)
    assert desk.ready()[0].price_ticks == 5_200
    desk.send(desk.intent(1, outcome=1, price_ticks=5_200))
    assert last_signed(desk).pool > 0
    assert desk.order(1).intent.token == market(3).token_no


def test_hits_and_misses_are_counted(desk: PoolDesk) -> None:
    desk.learn()
    desk.send(desk.intent(1))
    desk.core.tell()
    assert (desk.news.counts[Value.POOL_MISSES], desk.news.counts[Value.POOL_HITS]) == (1, 1)


def test_nothing_is_signed_on_a_book_that_is_not_trusted(desk: PoolDesk) -> None:
    desk.send(desk.intent(0))
    desk.core.tell()
    desk.markets.books[3] = BookView(True, False, 4, 4_800, 5_000, 100 * SHARE, 100 * SHARE)
    desk.fill()
    assert len(desk.pool) == 0
