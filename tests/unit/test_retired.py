"""What is done and settled leaves memory, and is never mistaken for a stranger."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from oracle.desk import SHARE, Desk, accepted, market, order_event, rest, taker_trade
from overround.errors import InvariantError
from overround.execute import store
from overround.execute.order import OrderState
from overround.execute.retired import Retired, RetiredOrders, trade_hash
from overround.ledger.export import ledger_lines, rebuild
from overround.ledger.journal import JournalDamage, JournalRecord, read_record, segment_path
from overround.ledger.positions import FillState
from overround.observe.metrics import Value
from overround.venues.polymarket.records import OrderEvent, TradeState

INFO = market(3)


class ShortDesk(Desk):
    """A desk whose store keeps one order that has ended."""

    done_max = 1

    def open(self) -> None:
        """Open, and let what is replayed go as a process would."""
        super().open()
        self.store._done_max = self.done_max
        self.store.retire()

    def trade(self, sequence: int, state: TradeState = TradeState.CONFIRMED) -> str:
        """Send, fill and settle one order; return its id."""
        submission = self.send(self.intent(sequence))
        (order_id,) = submission.order_ids
        self.core.answer(submission, [accepted(order_id, "matched", f"t{sequence}")])
        self.settlement.on_trade(taker_trade(order_id, INFO, f"t{sequence}", state=state))
        return order_id

    def memory(self) -> list[int]:
        """Sequences of the orders that are in memory."""
        self.store.retire()
        return sorted(key.sequence for key in self.store.by_key)


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[ShortDesk]:
    desk = ShortDesk(tmp_path)
    yield desk
    desk.close()


def test_ended_orders_leave_memory_oldest_first_with_their_fills(desk: ShortDesk) -> None:
    for sequence in range(4):
        desk.trade(sequence)
    assert desk.memory() == [3]
    assert (len(desk.store.retired), len(list(desk.store.positions.fills()))) == (3, 1)
    assert desk.store.positions.lots(INFO.token_yes) == 40 * SHARE


def test_an_intent_that_is_offered_again_is_a_duplicate_for_ever(desk: ShortDesk) -> None:
    for sequence in range(3):
        desk.trade(sequence)
    assert desk.memory() == [2]
    for _ in range(2):
        assert desk.core.take([desk.intent(0)]) == []
        desk.restart()
        assert desk.memory() == [2]
    assert desk.core.take([desk.intent(1)]) == []
    assert desk.news.counts[Value.INTENTS_DUPLICATE] == 1


def test_what_is_not_final_stays(desk: ShortDesk) -> None:
    desk.trade(0, TradeState.MATCHED)
    for sequence in range(1, 4):
        desk.trade(sequence)
    order = desk.order(0)
    assert order.state is OrderState.CLOSED
    assert desk.memory() == [0, 3]
    desk.settlement.on_trade(taker_trade(order.order_id, INFO, "t0", state=TradeState.FAILED))
    assert order.state is OrderState.DONE
    desk.trade(4)
    assert desk.memory() == [4]
    assert desk.store.positions.lots(INFO.token_yes) == 40 * SHARE


def test_an_order_with_a_request_under_way_stays(desk: ShortDesk) -> None:
    desk.trade(0)
    desk.order(0).in_flight = True
    desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [0, 2] or desk.memory() == [0]
    desk.order(0).in_flight = False
    desk.trade(3)
    assert 0 not in desk.memory()


def test_a_late_fill_is_booked_under_its_own_order(desk: ShortDesk) -> None:
    order_id = desk.trade(0)
    desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [2]
    late = taker_trade(order_id, INFO, "late", state=TradeState.CONFIRMED, size_lots=SHARE)
    assert desk.settlement.on_trade(late) == 2
    assert desk.store.positions.lots(INFO.token_yes) == 31 * SHARE
    assert (desk.news.counts[Value.RECONCILE_DIFFERENCES], desk.news.notices) == (0, [])
    order = desk.order(0)
    assert (order.filled_lots, order.trades_seen) == (11 * SHARE, {"t0", "late"})
    assert desk.store.own.exposures.strategy(1).held_worst_micro() < 0
    desk.trade(3)
    assert desk.memory() == [3]
    desk.restart()
    assert desk.store.positions.lots(INFO.token_yes) == 41 * SHARE


def test_a_trade_that_is_listed_again_stays_out_of_memory_and_is_booked_once(
    desk: ShortDesk,
) -> None:
    order_id = desk.trade(0)
    desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [2]
    before = desk.store.journal.next_sequence
    for state in (TradeState.CONFIRMED, TradeState.MATCHED):
        assert desk.settlement.on_trade(taker_trade(order_id, INFO, "t0", state=state)) == 0
    assert desk.memory() == [2]
    against = taker_trade(order_id, INFO, "t0", state=TradeState.FAILED)
    assert desk.settlement.on_trade(against) == 0
    assert desk.news.notices == ["not ours"]  # told, as for an order in memory: never booked
    assert desk.store.journal.next_sequence == before


def test_one_that_turns_up_alive_is_taken_up_again(desk: ShortDesk) -> None:
    order_id = rest(desk, 0).order_id
    desk.settlement.apply([order_event(order_id, INFO, OrderEvent.CANCELLATION)])
    desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [2]
    listed = order_event(order_id, INFO, OrderEvent.LISTING)
    asked_ns = desk.now_ns
    desk.tick(1)
    remedies, differences = desk.resolver.sweep([listed], asked_ns)
    assert [one.order.order_id for one in remedies] == [order_id]
    assert differences == [f"order {order_id} was done and is open"]
    assert desk.store.by_id[order_id].state is OrderState.LIVE
    desk.restart()
    assert desk.store.by_id[order_id].state is OrderState.LIVE


def test_its_id_serves_no_other_intent(desk: ShortDesk) -> None:
    desk.trade(0)
    signed = desk.order(0).signed
    desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [2]
    desk.core.take([desk.intent(9, legs=2)])
    with pytest.raises(InvariantError, match="used twice"):
        desk.store.commit(msgspec.structs.replace(signed, sequence=9), desk.now_ns)


def test_the_ledger_has_every_fill_in_the_order_of_the_journal(desk: ShortDesk) -> None:
    ids = [desk.trade(sequence) for sequence in range(5)]
    assert desk.memory() == [4]
    late = taker_trade(ids[1], INFO, "late", state=TradeState.CONFIRMED, size_lots=SHARE)
    desk.settlement.on_trade(late)
    found = list(ledger_lines(desk.store.positions, desk.store.fills()))
    assert found == list(ledger_lines(rebuild(desk.folder)))
    assert sum(line["kind"] == "fill" for line in found) == desk.store.positions.booked == 6


def test_a_place_that_holds_something_else_is_damage(desk: ShortDesk) -> None:
    order_id = desk.trade(0)
    other = desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [2]
    row, wrong = desk.store.retired.pop(order_id), desk.store.retired.pop(other)
    assert row is not None
    assert wrong is not None
    desk.store.retired.put(order_id, row._replace(signed_at=wrong.signed_at))
    with pytest.raises(JournalDamage):
        desk.store.by_id.get(order_id)
    desk.store.retired.put(other, wrong._replace(fills=((1, wrong.intent_at, FillState.FAILED),)))
    with pytest.raises(JournalDamage):
        desk.store.by_id.get(other)
    with pytest.raises(JournalDamage, match="no whole record"):
        read_record(desk.folder, wrong.intent_at + 8)
    with pytest.raises(JournalDamage, match="No such file"):
        read_record(desk.folder, 99 << 32)
    assert segment_path(desk.folder, 0).exists()


@pytest.mark.parametrize("good", range(3))
def test_one_that_cannot_be_read_for_a_moment_is_no_stranger_afterwards(
    desk: ShortDesk, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """Too many open files, say: a comparison is told of it and goes on a second later."""
    order_id = desk.trade(0)
    desk.trade(1)
    desk.trade(2)
    assert desk.memory() == [2]
    reads = []

    def failing(folder: Path, place: int) -> JournalRecord:
        reads.append(place)
        if len(reads) > good:
            raise JournalDamage("too many open files")
        return read_record(folder, place)

    with monkeypatch.context() as patched:
        patched.setattr(store, "read_record", failing)
        with pytest.raises(JournalDamage):
            desk.store.by_id.get(order_id)
    assert len(reads) == good + 1
    assert order_id in desk.store.by_id
    late = taker_trade(order_id, INFO, "late", state=TradeState.CONFIRMED, size_lots=SHARE)
    assert desk.settlement.on_trade(late) == 2
    assert desk.news.notices == []
    trades = [fill.trade_id for fill, _ in desk.store.positions.fills_of(order_id)]
    assert trades == ["t0", "late"]


@pytest.mark.parametrize(
    "order_id", ["0x" + "ab" * 32, "0x" + "AB" * 32, "order 17", "", "0x" + "zz" * 32, "ab" * 33]
)
def test_rows_come_back_as_they_were_whatever_the_id_looks_like(order_id: str) -> None:
    orders = RetiredOrders()
    fills = ((trade_hash("a"), 1 << 40, FillState.CONFIRMED), (7, 8, FillState.FAILED))
    row = Retired(1 << 60, 2, 3, 4, -5, 6, 2**31, 7, True, False, True, fills)
    orders.put("0x" + "cd" * 32, row._replace(fills=()))
    orders.put(order_id, row)
    assert order_id in orders
    assert "0x" + "ab" * 31 not in orders
    assert orders.fill(order_id, "a") is FillState.CONFIRMED
    assert (orders.fill(order_id, "b"), orders.fill("0x1", "a")) == (None, None)
    assert orders.fill_places() == [(8, FillState.FAILED), (1 << 40, FillState.CONFIRMED)]
    assert (orders.pop(order_id), orders.pop(order_id), len(orders)) == (row, None, 1)


def test_an_order_costs_little_once_it_is_gone(desk: ShortDesk) -> None:
    for sequence in range(8):
        desk.trade(sequence)
    desk.memory()
    assert len(desk.store.retired) == 7
    assert len(desk.store._spans) == 1
    assert all(sys.getsizeof(row) < 120 for row in desk.store.retired.rows.values())
