"""The exchange forgets old orders and trades in order, and no order it accepted twice."""

from __future__ import annotations

import pytest

from oracle.sim_rig import SHARE, Rig
from overround.match.types import OrderType, Side
from overround.sim.exchange import Exchange, Settlement
from overround.sim.flow import Flow, FlowSettings
from overround.sim.history import History
from overround.sim.orderlog import OrderLog

FAVOURITE = 3


def small_rig(kept: int) -> Rig:
    rig = Rig()
    rig.exchange = Exchange(
        rig.exchange.catalog,
        seed=7,
        now_ns=lambda: rig.scheduler.now_ns,
        later=rig.scheduler.later,
        log=OrderLog(None),
        settlement=Settlement(50, 150),
        swapped_share=0.0,
        history_kept=kept,
    )
    rig.member, rig.credentials = rig.join(rig.signer)
    Flow(rig.exchange, 1, FlowSettings(rate=0))
    return rig


def buy(rig: Rig, price_milli: int, kind: OrderType) -> str:
    token = rig.exchange.catalog.markets[FAVOURITE].token_yes
    body = rig.body(token, Side.BUY, 20 * price_milli * 1_000, 20 * SHARE, kind)
    record = rig.accept(body)
    assert rig.exchange.place(record) is None
    return record.order.id


def test_only_the_latest_finished_orders_and_trades_stay() -> None:
    rig = small_rig(3)
    exchange = rig.exchange
    resting = buy(rig, 900, OrderType.GTC)
    taken = [buy(rig, 990, OrderType.FAK) for _ in range(5)]
    assert len(exchange.trades_of(rig.member.account)) == 5, "unsettled trades are all known"
    rig.scheduler.run(200)
    assert list(exchange.orders) == [resting, *taken[2:]]
    mine = exchange.trades_of(rig.member.account)
    assert [trade.matched.taker_order.id for trade in mine] == taken[2:]
    assert list(exchange.trades.values()) == mine
    assert all(exchange.history.knows(order) for order in (resting, *taken))
    assert not exchange.history.knows("0x" + "5" * 64)
    done, refused = exchange.cancel_ids(rig.member, [taken[0], resting])
    assert (done, refused) == ([resting], {taken[0]: "Order not found or already canceled"})
    exchange.engine.check()


def test_forgotten_ids_stay_known_for_a_table_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overround.sim.history.FORGOTTEN_BITS", 3)
    rig = small_rig(1)
    taken = [buy(rig, 990, OrderType.FAK) for _ in range(14)]
    history = rig.exchange.history
    assert all(history.knows(order) for order in taken[-6:])
    assert not history.knows(taken[0])


def test_a_history_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="history of 0"):
        History(0)
