"""Orders that no permit names: out in one call where the gate has room, else as ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.desk import accepted, rejected
from oracle.permit_desk import SHARE, PermitDesk, three_markets
from overround.config.schema import Risk
from overround.decide.risk import RefusalCode
from overround.errors import InvariantError
from overround.execute.order import OrderState
from overround.layout.intent import IntentFlag
from overround.ledger.records import Kind, RiskMark
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.rest import place_order

FOK, GTC, GTD = int(OrderType.FOK), int(OrderType.GTC), int(OrderType.GTD)


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[PermitDesk]:
    regions = three_markets()
    desk = PermitDesk(
        tmp_path, regions, limits=Risk(same_in_flight_max=64, order_size_max_lots=90 * SHARE)
    )
    yield desk
    desk.end()
    regions.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"price_ticks": 5_100}, {"size_lots": 11 * SHARE}, {"order_type": FOK},
        {"order_type": GTC, "price_ticks": 4_700, "flags": int(IntentFlag.POST_ONLY)},
        {"outcome": 1, "price_ticks": 5_200}, {"strategy": 2}, {"producer": 3},
    ],
)  # fmt: skip
def test_what_nobody_expected_leaves_in_one_call(desk: PermitDesk, changes: dict[str, Any]) -> None:
    desk.learn()
    assert desk.offer(1, edge_micro=-7, plan=900, **changes)
    assert (desk.by_permit, desk.news.counts[Value.PERMITS_USED]) == (1, 1)
    (submission,) = desk.sent[1:]
    (order,) = submission.orders
    assert desk.wire.seen() == desk.encode(place_order(order.signed.body))
    assert (order.state, order.in_flight) == (OrderState.SENT, True)
    assert [kind for kind, _ in desk.records()][-3:] == [Kind.INTENT, Kind.SIGNED, Kind.SENT]
    desk.core.answer(submission, [accepted(order.order_id, "live")])
    assert desk.restart() == 1  # the first one alone is of unknown outcome


def test_a_burst_leaves_order_by_order_and_takes_what_is_pooled(desk: PermitDesk) -> None:
    desk.learn()
    for sequence, price_ticks in ((1, 5_000), (2, 5_100), (3, 5_100), (4, 5_000)):
        assert desk.offer(sequence, price_ticks=price_ticks)
    assert desk.by_permit == 4
    numbers = [one.orders[0].signed.pool for one in desk.sent[1:]]
    assert [number > 0 for number in numbers] == [True, True, False, False]
    bodies = [one.orders[0].signed.body for one in desk.sent[1:]]
    assert desk.wire.seen() == b"".join(desk.encode(place_order(body)) for body in bodies)


def test_any_place_of_a_batch_will_do(desk: PermitDesk) -> None:
    desk.learn()
    desk.raw[3:] = desk.raw[:1]
    desk.raw["producer_sequence"][3], desk.raw["size_lots"][3] = 9, 12 * SHARE
    desk.raw["expires_ns"][3] = 2 * desk.now_ns
    assert desk.permits.bind(desk.raw)(3)
    assert desk.order(9).size_lots == 12 * SHARE
    assert desk.wire.seen() == desk.encode(place_order(desk.sent[1].orders[0].signed.body))


def test_a_change_of_state_is_reckoned_with(desk: PermitDesk) -> None:
    desk.learn()
    desk.store.commit(RiskMark("day", 1, 0, 0), desk.now_ns)
    desk.core.answer(desk.sent[0], [rejected(desk.sent[0].order_ids[0])])
    assert desk.offer(1)
    assert desk.by_permit == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price_ticks": 5_050}, RefusalCode.TICK),
        ({"price_ticks": 5_400}, RefusalCode.COLLAR),
        ({"price_ticks": 4_900}, RefusalCode.NOT_MARKETABLE),
        ({"size_lots": SHARE}, RefusalCode.MIN_SIZE),
        ({"size_lots": 99 * SHARE, "order_type": GTC}, RefusalCode.ORDER_SIZE),
        ({"side": 1, "price_ticks": 4_800}, RefusalCode.BALANCE),
        ({"expires_ns": 1}, RefusalCode.EXPIRED),
        ({"ingress_epoch": 8}, RefusalCode.BOOK_REPLACED),
        ({"account": 1}, RefusalCode.MALFORMED),
        ({"market": 9}, RefusalCode.MARKET_UNKNOWN),
    ],
)
def test_what_has_no_room_gets_its_reason_from_the_gate(
    desk: PermitDesk, changes: dict[str, Any], code: RefusalCode
) -> None:
    desk.learn()
    assert not desk.offer(1, **changes)
    assert (desk.by_permit, desk.wire.seen(), desk.wire.lent) == (0, b"", 0)
    assert desk.order(1).reason == code


@pytest.mark.parametrize(
    "changes", [{"market": 1}, {"legs": 2}, {"flags": int(IntentFlag.QUOTE)},
                {"order_type": GTD, "expiration_s": 2**31, "price_ticks": 4_700}],
)  # fmt: skip
def test_what_it_does_not_cover_goes_the_ordinary_way(
    desk: PermitDesk, changes: dict[str, Any]
) -> None:
    desk.learn()
    desk.offer(1, **changes)
    assert (desk.by_permit, desk.wire.seen(), desk.wire.lent) == (0, b"", 0)


def test_own_orders_are_not_traded_with(desk: PermitDesk) -> None:
    desk.learn()
    assert desk.offer(1, order_type=GTC, price_ticks=4_700)
    desk.core.answer(desk.sent[1], [accepted(desk.sent[1].order_ids[0], "live")])
    # Selling YES at 0.47 and buying NO at 0.53 are the same to the venue's book.
    assert not desk.offer(2, outcome=1, order_type=GTC, price_ticks=5_300)
    assert desk.order(2).reason == RefusalCode.SELF_CROSS
    assert desk.by_permit == 1


def test_the_books_sign_nothing_twice(desk: PermitDesk) -> None:
    desk.learn()
    seal, count = desk.core.builder.seal, []

    def counting(*values: Any, **named: Any) -> Any:
        count.append(values)
        return seal(*values, **named)

    desk.core.builder.seal = counting  # type: ignore[method-assign]
    assert desk.offer(1, size_lots=11 * SHARE)
    assert (desk.by_permit, len(count)) == (1, 1)


def test_a_kill_while_it_is_signed_keeps_it_here(desk: PermitDesk) -> None:
    desk.learn()
    seal, before = desk.core.builder.seal, desk.records()

    def killing(*values: Any, **named: Any) -> Any:
        desk.kill = True
        return seal(*values, **named)

    desk.core.builder.seal = killing  # type: ignore[method-assign]
    assert not desk.offer(1, price_ticks=5_100, size_lots=11 * SHARE)
    assert (desk.by_permit, desk.wire.seen(), desk.wire.lent) == (0, b"", 0)
    kinds = [kind for kind, _ in desk.records()[len(before) :]]
    assert kinds == [Kind.INTENT, Kind.DONE]
    assert desk.order(1).reason == RefusalCode.KILLED


def test_a_gate_that_contradicts_its_leeway_stops_everything(desk: PermitDesk) -> None:
    desk.learn()
    desk.core.gate.limits = Risk(order_size_max_lots=SHARE)  # behind its back
    with pytest.raises(InvariantError):
        desk.offer(1, size_lots=11 * SHARE)
    assert desk.tripped
    on_disk = desk.records()
    assert [kind for kind, _ in on_disk[-3:]] == [Kind.INTENT, Kind.SIGNED, Kind.SENT]
    with pytest.raises(InvariantError):
        desk.store.commit(RiskMark("day", 1, 0, 0), desk.now_ns)
    assert desk.records() == on_disk
    desk.core.gate.limits, seen = desk.limits, desk.wire.seen()
    with pytest.raises(InvariantError):  # the next order neither, whoever cleared the latch
        desk.offer(2, size_lots=12 * SHARE)
    assert (desk.records(), len(seen) > 0, desk.wire.seen()) == (on_disk, True, b"")
    assert desk.restart() == 2


def test_a_changed_tick_is_seen_and_learnt(desk: PermitDesk) -> None:
    desk.learn()
    desk.regions.store(0, (4_800, 100, 5_000, 100), now_ns=1, tick_ticks=10)
    assert desk.offer(1, price_ticks=5_010)  # the ordinary way: the book's tick is another one
    assert desk.by_permit == 0
    desk.idle()
    assert desk.offer(2, price_ticks=5_010)
    assert desk.by_permit == 1
