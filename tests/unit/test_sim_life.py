"""The life of markets and money at the exchange: delays, ends, sets, fees, rebates, ticks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from oracle.sim_rig import SHARE, START_MS, BookReader, Rig
from overround.match.rebates import MS_PER_DAY
from overround.match.types import Order, OrderType, Outcome, Side
from overround.sim.delays import Delays, delayed_answer
from overround.sim.exchange import Exchange, Settlement
from overround.sim.lifecycle import LifeCycle
from overround.sim.orderlog import OrderLog

FAVOURITE = 3
CRYPTO = 5


class Stage(Rig):
    """A rig with the desks of delays and of the life cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.delays = Delays(self.exchange, self.scheduler.later)
        self.life = LifeCycle(self.exchange, self.scheduler.later)
        self.sold = 0

    def control(self, name: str, **body: Any) -> tuple[int, Any]:
        """What POST /sim/<name> answers."""
        route = next(r for r in self.life.routes() if r.path == f"/sim/{name}")

        async def ask() -> tuple[int, Any]:
            from aiohttp import web

            application = web.Application()
            application.router.add_routes([route])
            async with TestClient(TestServer(application)) as client:
                answer = await client.post(route.path, data=json.dumps(body))
                return answer.status, await answer.json()

        return asyncio.run(ask())

    def offer(self, market: int, ticks: int, shares: int, outcome: int = 0) -> None:
        """A resting sale by the flow."""
        self.sold += 1
        self.exchange.accounts.grant(1, market, Outcome(outcome), shares * SHARE)
        self.exchange.submit(
            Order(f"0x{self.sold:064x}", 1, market, Outcome(outcome), Side.SELL, ticks,
                  shares * SHARE)
        )  # fmt: skip

    def buy(self, market: int, ticks: int, shares: int, kind: OrderType = OrderType.GTC) -> Any:
        token = self.exchange.catalog.markets[market].token_yes
        cash = ticks * shares * SHARE // 10_000
        return self.accept(self.body(token, Side.BUY, cash, shares * SHARE, kind))

    def tokens(self, market: int) -> tuple[int, int]:
        holding = self.exchange.accounts.holding(self.member.account)
        return holding.token(market, 0).lots, holding.token(market, 1).lots

    def condition(self, market: int) -> str:
        return self.exchange.catalog.markets[market].condition_id


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- delays ----------------------------------------------------------------------------------


def test_a_held_order_waits_matches_and_cannot_be_cancelled_meanwhile(stage: Stage) -> None:
    stage.exchange.catalog.markets[CRYPTO].seconds_delay = 3
    stage.offer(CRYPTO, 5_000, 50)
    sink = stage.listen()
    record = stage.buy(CRYPTO, 5_000, 20)
    stage.delays.hold(record)
    assert delayed_answer(record) == {
        "success": True, "errorMsg": "", "orderID": record.order.id, "status": "delayed",
        "makingAmount": "0", "takingAmount": "0", "tradeIDs": [], "transactionsHashes": [],
    }  # fmt: skip
    assert [(e["type"], e["status"]) for e in sink.take()] == [("PLACEMENT", "DELAYED")]
    cancelled, refused = stage.exchange.cancel_ids(stage.member, [record.order.id])
    assert (cancelled, list(refused)) == ([], [record.order.id])
    stage.scheduler.run(2_999)
    assert record.order.filled_lots == 0
    stage.scheduler.run(1)
    assert record.order.filled_lots == 20 * SHARE
    assert [(e["type"], e["status"]) for e in sink.take()] == [
        ("PLACEMENT", "LIVE"), ("UPDATE", "MATCHED"), ("TRADE", "MATCHED"),
    ]  # fmt: skip
    assert stage.delays.held == 0


@pytest.mark.parametrize(
    ("kind", "status"), [(OrderType.FOK, "UNMATCHED"), (OrderType.FAK, "UNMATCHED")]
)
def test_a_held_order_is_checked_again_when_its_time_is_up(
    stage: Stage, kind: OrderType, status: str
) -> None:
    stage.exchange.catalog.markets[CRYPTO].seconds_delay = 1
    stage.offer(CRYPTO, 5_000, 50)
    record = stage.buy(CRYPTO, 5_000, 20, kind)
    stage.delays.hold(record)
    stage.exchange.cancel(f"0x{1:064x}")
    sink = stage.listen()
    stage.scheduler.run(1_000)
    assert [(e["type"], e["status"]) for e in sink.take()] == [("CANCELLATION", status)]
    assert stage.exchange.history.knows(record.order.id)


def test_a_held_order_may_come_to_rest_or_find_its_money_or_market_gone(stage: Stage) -> None:
    stage.exchange.catalog.markets[CRYPTO].seconds_delay = 1
    resting, poor, late = (stage.buy(CRYPTO, 4_000 + n, 20) for n in (100, 200, 300))
    stage.delays.hold(resting)
    stage.scheduler.run(1_000)
    assert (resting.status, stage.exchange.engine.top(CRYPTO).bid_lots) == ("LIVE", 20 * SHARE)
    stage.delays.hold(poor)
    everything = stage.exchange.accounts.holding(stage.member.account).available_micro
    assert stage.exchange.accounts.withdraw(stage.member.account, everything)
    stage.scheduler.run(1_000)
    assert poor.status == "CANCELED_NOT_ENOUGH_BALANCE"
    stage.delays.hold(late)
    stage.life.resolve(stage.exchange.catalog.markets[CRYPTO], 5_000)
    stage.scheduler.run(1_000)
    assert late.status == "CANCELED_MARKET_RESOLVED"


# -- tokens ----------------------------------------------------------------------------------


def test_split_merge_convert_and_redeem_as_commands(stage: Stage) -> None:
    address, condition = stage.member.address, stage.condition
    status, answer = stage.control("split", address=address, market=condition(0), size="30")
    assert (status, answer["cash"]) == (200, str(9_970 * SHARE))
    assert stage.control("split", address=address, market=condition(1), size="30")[0] == 200
    status, answer = stage.control("merge", address=address, market=condition(0), size="10")
    assert (status, stage.tokens(0)) == (200, (20 * SHARE, 20 * SHARE))
    given = [condition(0), condition(1)]
    status, answer = stage.control("convert", address=address, markets=given, size="20")
    assert status == 200
    assert answer["cash"] == str(9_970 * SHARE)  # 9,940 + 10 merged + one of two NO in cash
    assert [stage.tokens(market)[0] for market in range(5)] == [
        20 * SHARE, 30 * SHARE, 20 * SHARE, 20 * SHARE, 20 * SHARE,
    ]  # fmt: skip
    stage.exchange.engine.check()
    for market in (0, 1, 2, 4):
        assert stage.control("resolve", market=condition(market), outcome=1)[0] == 200
    assert stage.control("resolve", market=condition(3), yes_worth="0") == (
        400, {"error": "one market of set 0 has to win"},
    )  # fmt: skip
    assert stage.control("resolve", market=condition(3), yes_worth="1")[0] == 200
    status, answer = stage.control("redeem", address=address, market=condition(3))
    assert (status, answer["paid_micro"]) == (200, 20 * SHARE)
    stage.exchange.engine.check()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("split", {"address": "nobody", "market": "it", "size": "1"}),
        ("merge", {"address": "me", "market": "it", "size": "1"}),
        ("split", {"address": "me", "market": "it", "size": "10001"}),
        ("split", {"address": "me", "market": "it", "size": "-1"}),
        ("split", {"address": "me", "market": "unknown", "size": "1"}),
        ("redeem", {"address": "me", "market": "it"}),
        ("convert", {"address": "me", "markets": [], "size": "1"}),
        ("convert", {"address": "me", "markets": ["lone"], "size": "1"}),
        ("convert", {"address": "me", "markets": ["it", "lone"], "size": "1"}),
        ("resolve", {"market": "it", "yes_worth": "0.5"}),
        ("resolve", {"market": "it", "outcome": 2}),
        ("fee", {"market": "it", "rate": "1.5"}),
        ("delay", {"market": "it", "seconds": -1}),
        ("withdraw", {"address": "me", "cash": "10001"}),
        ("allowance", {"address": "me", "spender": "0x1", "amount": -1}),
        ("allowance", {"address": "me", "spender": "0x1", "asset": "GOLD"}),
    ],
)
def test_commands_that_cannot_be_are_refused_and_change_nothing(
    stage: Stage, name: str, body: dict[str, Any]
) -> None:
    names = {
        "it": stage.condition(0), "lone": stage.condition(CRYPTO), "me": stage.member.address,
    }  # fmt: skip
    filled = {
        key: [names.get(item, item) for item in value]
        if isinstance(value, list)
        else names.get(value, value)
        for key, value in body.items()
    }
    before = stage.exchange.engine.state_hash()
    status, answer = stage.control(name, **filled)
    assert (status, list(answer)) == (400, ["error"])
    assert stage.exchange.engine.state_hash() == before
    stage.exchange.engine.check()


# -- markets ---------------------------------------------------------------------------------


def test_resolution_is_told_to_order_owners_and_to_the_market_channel(stage: Stage) -> None:
    market = stage.exchange.catalog.markets[CRYPTO]
    watcher, listener = stage.watch(market, custom=True), stage.listen()
    record = stage.buy(CRYPTO, 1_000, 50)
    assert stage.exchange.place(record) is None
    listener.take()
    status, answer = stage.control("resolve", market=market.condition_id, yes_worth="0.5")
    assert (status, answer["yes_worth_ticks"]) == (200, 5_000)
    assert [(e["type"], e["status"]) for e in listener.take()] == [
        ("CANCELLATION", "CANCELED_MARKET_RESOLVED")
    ]
    told = [
        event
        for frame in watcher.take()
        for event in (frame if isinstance(frame, list) else [frame])
        if event["event_type"] == "market_resolved"
    ]
    assert [event["winning_asset_id"] for event in told] == [""]
    assert stage.control("resolve", market=market.condition_id, outcome=0)[0] == 400


def test_money_moved_away_cancels_orders_by_that_name(stage: Stage) -> None:
    first, second = stage.buy(CRYPTO, 1_000, 5_000), stage.buy(CRYPTO, 2_000, 1_000)
    assert stage.exchange.place(first) is None
    assert stage.exchange.place(second) is None
    listener = stage.listen()
    status, answer = stage.control("withdraw", address=stage.member.address, cash="9400")
    assert (status, answer["cash"]) == (200, str(600 * SHARE))
    assert [(e["id"], e["status"]) for e in listener.take()] == [
        (second.order.id, "CANCELED_NOT_ENOUGH_BALANCE")
    ]


def test_a_new_fee_is_charged_and_shown_from_its_moment_on(stage: Stage) -> None:
    stage.offer(CRYPTO, 5_000, 50)
    assert stage.control("fee", market=stage.condition(CRYPTO), rate="0.03", in_ms=500)[0] == 200
    fees = []
    for wait_ms in (499, 1):
        stage.scheduler.run(wait_ms)
        record = stage.buy(CRYPTO, 5_000, 10)
        assert stage.exchange.place(record) is None
        fees.append(stage.exchange.trades[record.trades[0]].matched.fee_micro)
        fees.append(stage.exchange.catalog.markets[CRYPTO].rules.fee_rate_ppm)
    assert fees == [175_000, 70_000, 75_000, 30_000]


def test_makers_are_paid_their_rebates_after_midnight(stage: Stage) -> None:
    record = stage.buy(CRYPTO, 5_000, 1_000)
    assert stage.exchange.place(record) is None
    taker = funded_taker(stage)
    stage.scheduler.run(200)
    assert [e.cash_micro for e in stage.exchange.engine.rebates.shares(START_MS // MS_PER_DAY)] == [
        3_500_000  # a fifth of 1,000 x 0.07 / 4
    ]
    before = stage.exchange.accounts.holding(stage.member.account).cash_micro
    stage.life.keep_house()
    assert stage.life.rebates_paid == []
    stage.scheduler.run(MS_PER_DAY)
    stage.life.keep_house()
    assert [(e.account, e.cash_micro) for e in stage.life.rebates_paid] == [
        (stage.member.account, 3_500_000)
    ]
    assert stage.exchange.accounts.holding(stage.member.account).cash_micro == before + 3_500_000
    assert taker
    stage.exchange.engine.check()


def funded_taker(stage: Stage) -> bool:
    """The flow sells 1,000 YES into the book."""
    stage.exchange.accounts.grant(1, CRYPTO, Outcome.YES, 1_000 * SHARE)
    return stage.exchange.submit(
        Order("0xfa", 1, CRYPTO, Outcome.YES, Side.SELL, 5_000, 1_000 * SHARE, OrderType.FOK)
    )


def test_a_trade_near_the_end_makes_the_tick_finer_and_everyone_hears_of_it() -> None:
    rig = Rig()
    exchange = Exchange(
        rig.exchange.catalog, seed=7, now_ns=lambda: rig.scheduler.now_ns,
        later=rig.scheduler.later, log=OrderLog(None), settlement=Settlement(50, 150),
        auto_tick=True,
    )  # fmt: skip
    rig.exchange = exchange
    watcher = rig.watch(exchange.catalog.markets[CRYPTO])
    exchange.accounts.deposit(2, 100 * SHARE)
    exchange.accounts.grant(1, CRYPTO, Outcome.YES, 50 * SHARE)
    for number, (account, side, ticks) in enumerate([(1, Side.SELL, 9_700), (2, Side.BUY, 9_700)]):
        exchange.submit(
            Order(f"0x{number:064x}", account, CRYPTO, Outcome.YES, side, ticks, 20 * SHARE)
        )
    rig.scheduler.run(100)
    frames = watcher.take()
    reader = BookReader({market.condition_id: False for market in exchange.catalog.markets})
    for frame in frames:
        reader.feed(frame)
    reader.finish()
    assert (reader.checked, reader.pending) == (6, [])
    changes = [
        event
        for frame in frames
        for event in (frame if isinstance(frame, list) else [frame])
        if event["event_type"] == "tick_size_change"
    ]
    assert {(e["old_tick_size"], e["new_tick_size"]) for e in changes} == {("0.01", "0.001")}
    assert exchange.catalog.markets[CRYPTO].rules.tick_ticks == 10
