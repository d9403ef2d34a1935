"""The streams of polymarket-client, unmodified, on the real exchange's two channels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from polymarket.clients.async_secure import AsyncSecureClient
from polymarket.streams import MarketSpec, UserSpec

from oracle.conformance import QUIET, operation
from oracle.sim_process import SimProcess, running
from oracle.unified_client import environment_of, wallet_of

pytestmark = pytest.mark.timeout(30)

CLIENT = "polymarket-client"


@pytest.fixture(scope="module")
def sim() -> Iterator[SimProcess]:
    with running(*QUIET) as process:
        yield process


@pytest.fixture
def market(sim: SimProcess) -> dict[str, Any]:
    """A new market: bids 0.48 for 120, asks 0.52 for 110."""
    added: dict[str, Any] = sim.control("markets", frames_per_s=0)
    return added


@pytest.fixture
async def live(sim: SimProcess) -> AsyncIterator[AsyncSecureClient]:
    made = await AsyncSecureClient.create(**wallet_of(sim, 0), environment=environment_of(sim))
    yield made
    await made.close()


async def until(stream: Any, enough: Callable[[Any], bool]) -> list[Any]:
    """Events up to the first that is enough."""
    found = []
    async for event in stream:
        found.append(event)
        if enough(event):
            return found
    raise AssertionError("the stream ended")


async def until_all(stream: Any, kinds: set[str]) -> list[Any]:
    """Events up to the one that completes a set of types."""
    missing = set(kinds)

    def complete(event: Any) -> bool:
        missing.discard(event.type)
        return not missing

    return await until(stream, complete)


@operation("market stream: book, price change, print, best bid and ask", "3.1")
async def test_market_stream(live: AsyncSecureClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    spec = MarketSpec(asset_ids=[yes, no], custom_feature_enabled=True)
    async with await live.subscribe(spec) as stream:
        books = [(await anext(stream)).payload for _ in range(2)]
        assert {book.asset_id for book in books} == {yes, no}
        placed = await live.place_limit_order(asset_id=yes, price="0.5", size=20, side="BUY")
        kinds = {"price_change", "best_bid_ask"}
        told = {event.type: event.payload for event in await until_all(stream, kinds)}
        entries = {entry.asset_id: entry for entry in told["price_change"].price_changes}
        assert (entries[yes].side, entries[yes].price, entries[yes].size) == (
            "BUY", Decimal("0.5"), 20,
        )  # fmt: skip
        assert (entries[no].side, entries[no].best_ask) == ("SELL", Decimal("0.5"))
        assert told["best_bid_ask"].spread == Decimal("0.02")
        await live.place_limit_order(asset_id=yes, price="0.52", size=10, side="BUY")
        events = await until(stream, lambda event: event.type == "last_trade_price")
        assert (events[-1].payload.price, events[-1].payload.size) == (Decimal("0.52"), 10)
        assert {"price_change", "book"} <= {event.type for event in events}
        await live.cancel_order(order_id=placed.order_id)


@operation("user stream: placement, fill, settlement, cancel", "3.2")
async def test_user_stream(live: AsyncSecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    async with await live.subscribe(UserSpec()) as stream:
        placed = await live.place_limit_order(asset_id=yes, price="0.52", size=120, side="BUY")
        trades = await until(
            stream, lambda e: e.type == "trade" and e.payload.status == "CONFIRMED"
        )
        await live.cancel_order(order_id=placed.order_id)
        orders = await until(
            stream, lambda e: e.type == "order" and e.payload.order_event_type == "CANCELLATION"
        )
    told = [event.payload for event in trades + orders if event.payload.id == placed.order_id]
    kinds = [order.order_event_type for order in told]
    assert kinds == ["PLACEMENT", "UPDATE", "CANCELLATION"]
    assert [order.size_matched for order in told] == [0, 110, 110]
    assert (told[-1].status, told[0].order_type) == ("CANCELED", "GTC")
    steps = [event.payload for event in trades if event.type == "trade"]
    assert [trade.status for trade in steps] == ["MATCHED", "MINED", "CONFIRMED"]
    assert {trade.id for trade in steps} == set(placed.trade_ids)
    assert (steps[0].trader_side, steps[0].size) == ("TAKER", 110)
