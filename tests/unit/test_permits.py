"""Permits: what they let out is journaled, booked and proved as ever; what changed takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.desk import accepted, rejected, taker_trade
from oracle.permit_desk import OWNER, SECRET, SHARE, PermitDesk, three_markets
from overround.config.schema import Risk
from overround.decide.risk import Refusal, RefusalCode
from overround.errors import InvariantError, VenueError
from overround.execute.order import OrderState
from overround.layout.catalog import MarketStatus
from overround.layout.change import BookFlag
from overround.ledger.records import Kind, RiskMark
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.rest import place_order


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[PermitDesk]:
    regions = three_markets()
    desk = PermitDesk(tmp_path, regions, prompt=False, limits=Risk(same_in_flight_max=64))
    yield desk
    desk.end()
    regions.close()


def test_a_pooled_order_leaves_by_a_permit_with_the_bytes_it_would_have_had(
    desk: PermitDesk,
) -> None:
    desk.learn()
    assert len(desk.permits) == 3
    assert desk.offer(1, edge_micro=-7, plan=900)
    (submission,) = desk.sent[1:]
    assert (desk.by_permit, desk.news.counts[Value.PERMITS_USED]) == (1, 1)
    assert desk.wire.seen() == desk.encode(place_order(submission.orders[0].signed.body))
    order = submission.orders[0]
    assert (order.state, order.in_flight, order.intent.edge_micro) == (OrderState.SENT, True, -7)
    assert [kind for kind, _ in desk.records()][-3:] == [Kind.INTENT, Kind.SIGNED, Kind.SENT]
    desk.core.answer(submission, [accepted(order.order_id, "matched", "t1")])
    info = desk.markets.info(0)
    desk.settlement.apply([taker_trade(order.order_id, info)])
    assert order.filled_lots == 10 * SHARE


def test_one_use_withdraws_every_permit(desk: PermitDesk) -> None:
    desk.learn()
    assert desk.offer(1)
    assert desk.offer(2, price_ticks=5_100)
    assert desk.by_permit == 1


def test_what_the_pool_voids_withdraws_its_permits(desk: PermitDesk) -> None:
    desk.learn()
    assert len(desk.permits) == 3
    desk.pool.clear("credentials changed")  # leaves no record
    assert desk.offer(1)
    assert desk.by_permit == 0
    assert desk.sent[1].orders[0].signed.pool == 0


def test_what_the_pool_signs_gets_its_permit_at_once(desk: PermitDesk) -> None:
    desk.learn()
    desk.pool.clear("credentials changed")
    desk.permits.grant()
    assert len(desk.permits) == 0
    desk.pool._due = list(desk.pool._shapes)
    assert desk.pool.refill(4) == 3
    desk.permits.grant()  # no record and no time has passed
    assert len(desk.permits) == 3


def test_the_next_start_knows_what_a_permit_sent(desk: PermitDesk) -> None:
    desk.learn()
    desk.offer(1)
    assert desk.restart() == 2  # both are of unknown outcome: their bytes may have left
    assert desk.order(1).state is OrderState.UNKNOWN
    desk.offer(1)  # the ring was not advanced: the same record again
    assert len(desk.sent) == 2


def test_bytes_that_the_socket_does_not_take_go_through_the_transport(desk: PermitDesk) -> None:
    desk.learn()
    desk.wire.plain = False
    assert desk.offer(1)
    assert desk.by_permit == 1
    assert desk.wire.seen() == desk.encode(place_order(desk.sent[1].orders[0].signed.body))


def kill(desk: PermitDesk) -> None:
    desk.kill = True


def not_ready(desk: PermitDesk) -> None:
    desk.core.ready = False


def loss_stop(desk: PermitDesk) -> None:
    desk.core.gate.stop = Refusal(RefusalCode.DAILY_LOSS, "too much")


def close_market(desk: PermitDesk) -> None:
    desk.regions.set_status(0, MarketStatus.CLOSED)
    desk.markets.refresh()


def untrusted(desk: PermitDesk) -> None:
    desk.regions.store(0, (4_800, 100, 5_000, 100), now_ns=1, flags=0)


def crossed(desk: PermitDesk) -> None:
    flags = int(BookFlag.TRUSTED | BookFlag.CROSSED)
    desk.regions.store(0, (4_800, 100, 5_000, 100), now_ns=1, flags=flags)


def moved_away(desk: PermitDesk) -> None:
    desk.regions.store(0, (4_800, 100, 5_100, 100), now_ns=1)


def fell(desk: PermitDesk) -> None:
    desk.regions.store(0, (1_000, 100, 2_000, 100), now_ns=1)


def owner_silent(desk: PermitDesk) -> None:
    desk.tick(10_001)


def epoch_changed(desk: PermitDesk) -> None:
    desk.regions.board_segment.take_over()
    desk.regions.board_segment.beat(desk.now_ns)


def aged(desk: PermitDesk) -> None:
    desk.tick(60_001)
    desk.regions.board_segment.beat(desk.now_ns)


def record(desk: PermitDesk) -> None:
    desk.store.commit(RiskMark("day", 1, 0, 0), desk.now_ns)


def answered(desk: PermitDesk) -> None:
    submission = desk.sent[0]
    desk.core.answer(submission, [accepted(submission.order_ids[0], "matched", "t1")])


@pytest.mark.parametrize(
    "change",
    [kill, not_ready, loss_stop, close_market, untrusted, crossed, moved_away, fell, owner_silent,
     epoch_changed, aged, record, answered],
)  # fmt: skip
def test_whatever_changes_takes_the_permit_away(
    desk: PermitDesk, change: Callable[[PermitDesk], None]
) -> None:
    desk.learn()
    epoch = desk.regions.board_segment.epoch
    change(desk)
    desk.offer(1, ingress_epoch=epoch)
    assert desk.by_permit == 0
    assert desk.wire.seen() == b""
    assert desk.wire.lent == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"price_ticks": 5_300}, {"size_lots": 11 * SHARE}, {"side": 1}, {"outcome": 1},
        {"order_type": int(OrderType.FOK)}, {"strategy": 2}, {"account": 1}, {"producer": 3},
        {"market": 1}, {"legs": 2}, {"flags": 4}, {"flags": 2}, {"expires_ns": 1},
        {"ingress_epoch": 8}, {"expiration_s": 9}, {"sequence": 0},
    ],
)  # fmt: skip
def test_an_intent_that_differs_in_anything_has_no_permit(
    desk: PermitDesk, changes: dict[str, Any]
) -> None:
    desk.learn()
    desk.offer(changes.pop("sequence", 1), **changes)
    assert (desk.by_permit, desk.wire.seen(), desk.wire.lent) == (0, b"", 0)


def test_the_transport_has_its_say(desk: PermitDesk) -> None:
    desk.learn()
    desk.lease_now = lambda *, post_only: None  # type: ignore[method-assign]
    desk.offer(1)
    assert desk.by_permit == 0


def test_new_credentials_take_the_permits_and_prove_the_next(desk: PermitDesk) -> None:
    desk.learn()
    other = Credentials(OWNER, SECRET[::-1].replace("=", "") + "A", "e" * 64)
    desk.client.credentials = desk.encode.credentials = other
    desk.offer(1)
    assert desk.by_permit == 0
    desk.idle()
    desk.offer(2)
    assert desk.by_permit == 1
    assert desk.wire.seen() == desk.encode(place_order(desk.sent[2].orders[0].signed.body))
    desk.client.credentials = None
    desk.idle()
    assert len(desk.permits) == 0
    with pytest.raises(VenueError):
        desk.client.order_head()


def test_a_full_segment_goes_the_ordinary_way_and_rolls(desk: PermitDesk) -> None:
    desk.permitted = False
    sequence, seen = 0, set()
    while len(seen) < 2 and sequence < 1_000:
        desk.learn(sequence)
        desk.permits.grant()
        before = desk.by_permit
        desk.offer(sequence + 1)
        desk.wire.seen()
        seen.add(desk.by_permit > before)
        for submission in desk.sent[-2:]:
            desk.core.answer(submission, [rejected(submission.order_ids[0])])
        sequence += 2
    assert seen == {True, False}
    assert desk.store.journal.position[0] > 0
    assert len(desk.sent) == sequence
    assert desk.restart() == 0


def test_a_gate_that_contradicts_its_permit_stops_everything(desk: PermitDesk) -> None:
    desk.learn()
    before = desk.records()
    desk.core.gate.limits = Risk(order_size_max_lots=SHARE)  # behind the permits' back
    with pytest.raises(InvariantError):
        desk.offer(1)
    assert desk.tripped
    on_disk = desk.records()
    assert [kind for kind, _ in on_disk[len(before) :]] == [Kind.INTENT, Kind.SIGNED, Kind.SENT]
    with pytest.raises(InvariantError):  # nothing may be written over what was sent
        desk.store.commit(RiskMark("day", 1, 0, 0), desk.now_ns)
    assert desk.records() == on_disk
    desk.core.gate.limits = desk.limits
    assert desk.restart() == 2


def test_rate_tokens_are_spent_and_come_back(tmp_path: Path) -> None:
    regions = three_markets()
    limits = Risk(orders_per_s_max=1, orders_burst_max=2, same_in_flight_max=64)
    desk = PermitDesk(tmp_path, regions, prompt=False, limits=limits)
    desk.learn()
    assert desk.offer(1)
    assert desk.by_permit == 1
    while desk.pool.refill(4):
        pass
    desk.permits.grant()
    desk.offer(2)  # one token came back while it was idle
    desk.permits.grant()
    assert len(desk.permits) == 0
    desk.idle()
    assert len(desk.permits) == 3
    desk.end()
    regions.close()
