"""Every request we can describe, made to the exchange in the box, and every answer read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from oracle.exchange_process import ExchangeProcess
from overround.clock import epoch_ms, epoch_s
from overround.sim.members import funded_signers
from overround.units import parse_price
from overround.venues.contract import MarketSpec, OrderType, Side
from overround.venues.polymarket import catalog, rest, wire
from overround.venues.polymarket.amounts import limit_amounts, taking_amounts
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers, l2_headers
from overround.venues.polymarket.orders import (
    OrderParams,
    OrderSigner,
    market_domain,
    order_body,
    order_salt,
)
from overround.venues.polymarket.wire import Outcome, RejectReason, TradeState, UserTrade

SEED = 7


class Trader:
    """One account at the exchange; ``call`` makes a described request with its proof."""

    def __init__(self, exchange: ExchangeProcess) -> None:
        self.exchange = exchange
        self.signer: Signer = funded_signers(SEED, 1)[0][1]
        self.credentials: Credentials | None = None
        self.markets: list[MarketSpec] = []
        self._orders = OrderSigner(self.signer)
        self._count = 0

    async def call(self, request: rest.Request) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        if request.auth == rest.Auth.L1:
            headers |= l1_headers(self.signer, epoch_s())
        elif request.auth == rest.Auth.L2:
            assert self.credentials is not None
            headers |= l2_headers(
                self.credentials,
                self.signer.address,
                epoch_s(),
                request.method,
                request.path,
                request.body,
            )
        url = self.exchange.rest_url + request.target
        async with self.exchange.session.request(
            request.method, url, data=request.body, headers=headers
        ) as response:
            return response.status, await response.read()

    def order(
        self,
        market: MarketSpec,
        side: Side,
        price_ticks: int,
        size_lots: int,
        order_type: OrderType,
        *,
        post_only: bool = False,
    ) -> tuple[str, bytes]:
        """Return id and body of a new order of the market's YES token."""
        assert self.credentials is not None
        taking = order_type in (OrderType.FOK, OrderType.FAK)
        amounts = taking_amounts if taking else limit_amounts
        maker, taker = amounts(side, price_ticks, size_lots, market.tick_ticks)
        self._count += 1
        address = self.signer.address
        params = OrderParams(
            order_salt(str(self._count).encode()),
            address,
            address,
            int(market.token_yes),
            maker,
            taker,
            side,
            0,
            epoch_ms(),
        )
        signed = self._orders.sign(params, market_domain(market))
        body = order_body(signed, self.credentials.api_key, order_type, post_only=post_only)
        return signed.order_id, body

    async def best_ask(self, market: MarketSpec) -> int:
        (book,) = await self.exchange.books([market.token_yes])
        return parse_price(book["asks"][-1]["price"])


@pytest_asyncio.fixture
async def trader() -> AsyncIterator[Trader]:
    async with ExchangeProcess("--seed", str(SEED)) as exchange:
        trader = Trader(exchange)
        status, body = await trader.call(rest.create_api_key())
        trader.credentials = wire.decode_credentials(status, body)
        _, page = await trader.call(rest.events_page())
        trader.markets = catalog.parse_events_page(page).markets
        yield trader


async def test_discovery_and_exchange_parameters_agree(trader: Trader) -> None:
    status, body = await trader.call(rest.derive_api_key())
    assert wire.decode_credentials(status, body) == trader.credentials
    assert wire.decode_version(*await trader.call(rest.version())) == 2
    assert abs(wire.decode_time(*await trader.call(rest.server_time())) - epoch_s()) <= 5
    in_set = [spec for spec in trader.markets if spec.set_complete]
    assert [spec.set_position for spec in in_set] == list(range(in_set[0].set_size))
    for spec in trader.markets:
        _, body = await trader.call(rest.clob_market(spec.condition_id))
        seen = catalog.parse_clob_market(body, spec)
        assert (seen.tick_ticks, seen.fee_rate_ppm) == (spec.tick_ticks, spec.fee_rate_ppm)


async def test_life_of_orders_is_read_from_answers_listings_and_the_user_socket(
    trader: Trader,
) -> None:
    market = trader.markets[0]
    assert trader.credentials is not None
    socket_url = trader.exchange.ws_url.removesuffix("market") + "user"
    async with aiohttp.ClientSession() as session, session.ws_connect(socket_url) as socket:
        await socket.send_str(wire.user_hello(trader.credentials))
        await socket.send_str(wire.PING)
        assert wire.decode_user(await socket.receive_str()) == []
        # The flow goes on trading: a few ticks through the ask the order still finds someone.
        limit = await trader.best_ask(market) + 5 * market.tick_ticks
        taken_id, taken = trader.order(market, Side.BUY, limit, 1_000_000_000, OrderType.FAK)
        answer = wire.decode_order_answer(*await trader.call(rest.place_order(taken)), taken_id)
        assert (answer.outcome, answer.status) == (Outcome.ACCEPTED, "matched")
        again = wire.decode_order_answer(*await trader.call(rest.place_order(taken)), taken_id)
        assert again.outcome == Outcome.DUPLICATE
        states: list[TradeState] = []
        async with asyncio.timeout(20):
            while not states or not states[-1].final:
                events = wire.decode_user(await socket.receive_str())
                trades = (event for event in events if isinstance(event, UserTrade))
                states += [trade.state for trade in trades if trade.taker_order_id == taken_id]
        assert states == sorted(states)
        assert states[-1] == TradeState.CONFIRMED
    page = wire.decode_trades(*await trader.call(rest.trades()))
    assert page.problems == []
    fills = [f for trade in page.items for f in wire.own_fills(trade, trader.credentials.api_key)]
    assert {fill.order_id for fill in fills} == {taken_id}
    assert {(fill.taker, fill.side, fill.token_id) for fill in fills} == {
        (True, Side.BUY, market.token_yes)
    }
    assert sum(fill.size_lots for fill in fills) == answer.taking_micro
    assert sum(fill.cash_micro for fill in fills) == answer.making_micro


async def test_resting_refused_and_cancelled_orders(trader: Trader) -> None:
    market = trader.markets[0]
    tick, size = market.tick_ticks, 100_000_000
    resting_id, resting = trader.order(market, Side.BUY, tick, size, OrderType.GTC, post_only=True)
    small_id, small = trader.order(market, Side.BUY, tick, 1_000_000, OrderType.GTC)
    crossing_id, crossing = trader.order(
        market, Side.BUY, 10_000 - tick, size, OrderType.GTC, post_only=True
    )
    ids = [resting_id, small_id, crossing_id]
    answers = wire.decode_order_answers(
        *await trader.call(rest.place_orders([resting, small, crossing])), ids
    )
    assert [seen.outcome for seen in answers] == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.REJECTED,
    ]
    assert [seen.reason for seen in answers[1:]] == [
        RejectReason.MIN_SIZE,
        RejectReason.CROSSES_BOOK,
    ]
    listed = wire.decode_open_orders(*await trader.call(rest.open_orders()))
    assert [order.order_id for order in listed.items] == [resting_id]
    found = wire.decode_order(*await trader.call(rest.get_order(resting_id)))
    assert found is not None
    assert (found.price_ticks, found.original_lots, found.done) == (tick, size, False)
    assert wire.decode_order(*await trader.call(rest.get_order(small_id))) is None
    gone = wire.decode_cancel(*await trader.call(rest.cancel_orders([resting_id, small_id])))
    assert gone.canceled == (resting_id,)
    assert set(gone.not_canceled) == {small_id}
    for request in (rest.cancel_all(), rest.cancel_market(market.condition_id)):
        assert wire.decode_cancel(*await trader.call(request)).canceled == ()
    assert wire.decode_balance(*await trader.call(rest.balance(0))).balance_micro > 0


async def test_heartbeat_is_taken_refused_and_mended(trader: Trader) -> None:
    first, counted = wire.decode_heartbeat(*await trader.call(rest.heartbeat()))
    assert counted
    expected, counted = wire.decode_heartbeat(*await trader.call(rest.heartbeat("wrong")))
    assert (expected, counted) == (first, False)
    _, counted = wire.decode_heartbeat(*await trader.call(rest.heartbeat(expected)))
    assert counted


async def test_wrong_proofs_are_refused(trader: Trader) -> None:
    good = trader.credentials
    assert good is not None
    trader.credentials = Credentials(good.api_key, "d3Jvbmc=", good.passphrase)
    order_id, body = trader.order(
        trader.markets[0], Side.BUY, trader.markets[0].tick_ticks, 10**8, OrderType.GTC
    )
    answer = wire.decode_order_answer(*await trader.call(rest.place_order(body)), order_id)
    assert (answer.outcome, answer.reason) == (Outcome.REJECTED, RejectReason.AUTH)
    trader.credentials = good
    changed = json.loads(body)
    changed["order"]["makerAmount"] = "1"
    request = rest.place_order(json.dumps(changed).encode())
    answer = wire.decode_order_answer(*await trader.call(request), order_id)
    assert answer.outcome == Outcome.REJECTED
