"""polymarket-client, unmodified, pointed at the real exchange through its environment object."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from polymarket.clients.public import PublicClient
from polymarket.clients.secure import SecureClient
from polymarket.environments import PRODUCTION
from polymarket.errors import OrderHeartbeatMismatchError, PolymarketError, RequestRejectedError
from polymarket.models.clob.requests import PriceRequest

from oracle.conformance import QUIET, REFUSED, operation
from oracle.sim_process import SimProcess, running
from oracle.unified_client import environment_of, wallet_of
from overround.clock import epoch_s

pytestmark = pytest.mark.timeout(30)

CLIENT = "polymarket-client"
BUILDER = "0x" + "cd" * 32
FAVOURITE = "0xde04b189b3f19eaccda02529a3ea67abfc46bff5c0c8fc42d8a2d0ed7b8f0d41"
EVENT_SLUG = "fed-decision-in-june-825"


@pytest.fixture(scope="module")
def sim() -> Iterator[SimProcess]:
    with running(*QUIET) as process:
        yield process


@pytest.fixture(scope="module")
def client(sim: SimProcess) -> Iterator[SecureClient]:
    made = SecureClient.create(**wallet_of(sim, 0), environment=environment_of(sim))
    yield made
    made.close()


@pytest.fixture(scope="module")
def other(sim: SimProcess) -> Iterator[SecureClient]:
    made = SecureClient.create(**wallet_of(sim, 1), environment=environment_of(sim))
    yield made
    made.close()


@pytest.fixture
def market(sim: SimProcess) -> dict[str, Any]:
    """A new market: bids 0.48 for 120, asks 0.52 for 110."""
    added: dict[str, Any] = sim.control("markets", frames_per_s=0)
    return added


def refused(call: Callable[[], Any]) -> tuple[int | None, str]:
    with pytest.raises(RequestRejectedError) as caught:
        call()
    return caught.value.status, str(caught.value)


def buy(client: SecureClient, token: str, price: str, size: int, **options: Any) -> Any:
    return client.place_limit_order(asset_id=token, price=price, size=size, side="BUY", **options)


# -- credentials -----------------------------------------------------------------------------


@operation("create, derive, list and delete an API key", "1.6, 2.1, 2.2")
def test_keys(sim: SimProcess) -> None:
    account = wallet_of(sim, 3)
    made = SecureClient.create(**account, environment=environment_of(sim), nonce=5)
    again = SecureClient.create(**account, environment=environment_of(sim), nonce=5)
    assert again.credentials == made.credentials
    assert made.wallet_type == "EOA"
    assert made.fetch_api_keys() == (made.credentials.key,)
    assert made.get_closed_only_mode() is False
    made.delete_api_key()
    assert refused(made.fetch_api_keys) == (401, "Unauthorized/Invalid api key")
    made.close()
    again.close()


@operation("default deposit wallet (signature type 3)", "2.3, 2.5")
def test_deposit_wallet(sim: SimProcess, market: dict[str, Any]) -> None:
    account = sim.ready["accounts"][2]
    made = SecureClient.create(private_key=account["private_key"], environment=environment_of(sim))
    assert made.wallet_type == "DEPOSIT_WALLET"
    assert made.wallet.lower() == account["wallets"]["deposit"].lower()
    placed = buy(made, market["tokens"][0], "0.5", 10)
    assert (placed.ok, placed.status) == (True, "live")
    assert [order.id for order in made.list_open_orders().iter_items()] == [placed.order_id]
    assert made.get_order(order_id=placed.order_id).maker_address == made.wallet
    assert made.cancel_all().canceled == (placed.order_id,)
    made.close()


@operation("builder API keys", "1.6")
def test_builder_keys(client: SecureClient) -> None:
    made = client.create_builder_api_key()
    [listed] = client.fetch_builder_api_keys()
    assert (listed.key, listed.revoked_at) == (made.key, None)
    keyed = client._ctx
    assert keyed.api_key is None
    signed = dataclasses.replace(keyed, api_key=made)
    client._ctx = signed
    client.revoke_builder_api_key()
    client._ctx = keyed
    assert client.fetch_builder_api_keys()[0].revoked_at is not None


# -- market data -----------------------------------------------------------------------------


@operation("order book and its hash, one and many", "1.3, 1.4")
def test_books(client: SecureClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    book = client.get_order_book(asset_id=yes)
    assert [level.price for level in book.bids] == [Decimal(p) for p in ("0.46", "0.47", "0.48")]
    assert (book.bids[-1].size, book.asks[-1].price) == (Decimal(120), Decimal("0.52"))
    assert (book.min_order_size, book.tick_size) == (5, Decimal("0.01"))
    assert (book.condition_id, book.neg_risk) == (market["market"], False)
    assert book.timestamp is not None
    assert len(book.hash) == 40
    both = client.get_order_books(asset_ids=[yes, no])
    assert [found.asset_id for found in both] == [yes, no]
    missing = "No orderbook exists for the requested token id"
    assert refused(lambda: client.get_order_book(asset_id="1")) == (404, missing)


@operation("midpoint, price, spread, last trade, one and many", "1.3")
def test_prices(client: SecureClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    half = Decimal("0.5")
    assert client.get_midpoint(asset_id=yes) == half
    assert client.get_midpoints(asset_ids=[yes, no]) == {yes: half, no: half}
    assert client.get_price(asset_id=yes, side="BUY") == Decimal("0.48")
    prices = client.get_prices(requests=[PriceRequest(yes, "BUY"), PriceRequest(yes, "SELL")])
    assert prices == {yes: {"BUY": Decimal("0.48"), "SELL": Decimal("0.52")}}
    assert client.get_spread(asset_id=yes) == Decimal("0.04")
    assert client.get_spreads(asset_ids=[yes]) == {yes: Decimal("0.04")}
    assert client.get_last_trade_price(asset_id=yes) is None
    buy(client, yes, "0.52", 10)
    last = client.get_last_trade_price(asset_id=yes)
    assert (last.price, last.side) == (Decimal("0.52"), "BUY")
    [row] = client.get_last_trade_prices(asset_ids=[yes])
    assert (row.asset_id, row.price, row.side) == (yes, Decimal("0.52"), "BUY")


@operation("discovery: events, markets, tags, search to the last page", "1.12")
def test_discovery(sim: SimProcess) -> None:
    with PublicClient(environment=environment_of(sim)) as public:
        events = list(public.list_events(page_size=1).iter_items())
        assert len(events) >= 4
        fed = public.get_event(slug=EVENT_SLUG)
        assert fed.id == public.get_event(id=str(fed.id)).id
        assert (fed.trading.neg_risk, len(fed.markets)) == (True, 5)
        found = list(public.list_markets(condition_ids=[FAVOURITE]).iter_items())
        assert [market.condition_id for market in found] == [FAVOURITE]
        market = public.get_market(slug=found[0].slug)
        assert market.id == public.get_market(id=str(found[0].id)).id == found[0].id
        assert market.outcomes.yes.token_id == fed_token(market.condition_id, fed)
        assert market.trading.minimum_tick_size == Decimal("0.001")
        assert market.trading.fee_schedule.rate == Decimal("0.05")
        assert market.state.accepting_orders
        assert [event.slug for event in market.events] == [EVENT_SLUG]
        assert public.get_market_tags(str(market.id)) == public.get_event_tags(str(fed.id))
        tags = {tag.slug for tag in public.list_tags(page_size=3).iter_items()}
        assert {"fed", "politics"} <= tags
        assert public.get_tag(slug="fed").id == public.get_tag(id="159").id
        results = list(public.search(q="fed decision").iter_items())
        assert [event.slug for event in results[0].events] == [EVENT_SLUG]
        with pytest.raises(RequestRejectedError):
            public.get_market(slug="none-such")


def fed_token(condition_id: Any, event: Any) -> str:
    [market] = [market for market in event.markets if market.condition_id == condition_id]
    token: str = market.outcomes.yes.token_id
    return token


# -- orders ----------------------------------------------------------------------------------


@operation("GTC: rest, query, cancel", "1.7-1.9, 1.11")
def test_gtc(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    placed = buy(client, yes, "0.5", 20)
    assert (placed.ok, placed.status, placed.trade_ids) == (True, "live", ())
    assert (placed.making_amount, placed.taking_amount) == (0, 0)
    found = client.get_order(order_id=placed.order_id)
    assert (found.condition_id, found.asset_id, found.side) == (market["market"], yes, "BUY")
    assert (found.price, found.original_size, found.size_matched) == (Decimal("0.5"), 20, 0)
    assert (found.status, found.order_type, found.expires_at) == ("LIVE", "GTC", None)
    assert (found.owner, found.maker_address) == (client.credentials.key, client.wallet)
    listed = list(client.list_open_orders(market=market["market"]).iter_items())
    assert listed == [found]
    assert client.cancel_order(order_id=placed.order_id).canceled == (placed.order_id,)
    again = client.cancel_order(order_id=placed.order_id)
    assert (again.canceled, set(again.not_canceled)) == ((), {placed.order_id})


@operation("GTC: marketable, price improvement, trade to CONFIRMED", "1.8, 1.11, 4.1")
def test_match(client: SecureClient, market: dict[str, Any]) -> None:
    bought = buy(client, market["tokens"][0], "0.53", 30)
    assert (bought.status, bought.making_amount, bought.taking_amount) == (
        "matched", Decimal("15.6"), 30,
    )  # fmt: skip
    hashes = client.wait_for_order_fill_settlement(bought)
    assert hashes == bought.transactions_hashes
    [trade] = client.list_account_trades(id=bought.trade_ids[0]).iter_items()
    assert (trade.price, trade.size, trade.trader_side) == (Decimal("0.52"), 30, "TAKER")
    assert (trade.taker_order_id, trade.bucket_index) == (bought.order_id, 0)
    assert trade.transaction_hash == hashes[0]
    assert trade.status in ("MATCHED", "MINED", "CONFIRMED")
    while trade.status != "CONFIRMED":
        [trade] = client.list_account_trades(id=bought.trade_ids[0]).iter_items()


@operation("partial fill seen by maker and taker", "1.8, 1.11, 4.3")
def test_partial_fill(client: SecureClient, other: SecureClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    placed = buy(client, yes, "0.5", 20)
    sold = buy(other, no, "0.5", 8)
    assert (sold.status, sold.making_amount, sold.taking_amount) == ("matched", 4, 8)
    left = client.get_order(order_id=placed.order_id)
    assert (left.size_matched, left.associate_trades) == (8, sold.trade_ids)
    [mine] = client.list_account_trades(market=market["market"]).iter_items()
    assert (mine.trader_side, mine.asset_id) == ("MAKER", no)
    [maker] = mine.maker_orders
    assert (maker.order_id, maker.asset_id, maker.owner) == (
        placed.order_id, yes, client.credentials.key,
    )  # fmt: skip
    assert (maker.matched_amount, maker.price) == (8, Decimal("0.5"))
    client.cancel_all()


@operation("GTD: rests with its expiration; too near is refused", "4.1")
def test_gtd(client: SecureClient, market: dict[str, Any]) -> None:
    until = epoch_s() + 400
    placed = buy(client, market["tokens"][0], "0.5", 10, expiration=until)
    found = client.get_order(order_id=placed.order_id)
    assert (found.order_type, int(found.expires_at.timestamp())) == ("GTD", until)
    with pytest.raises(PolymarketError):
        buy(client, market["tokens"][0], "0.5", 10, expiration=epoch_s() + 30)
    client.cancel_all()


@operation("FOK: filled whole, or killed", "1.10, 4.1")
def test_fok(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    filled = client.place_market_order(
        asset_id=yes, side="BUY", amount=26, max_price="0.52", order_type="FOK"
    )
    assert (filled.status, filled.making_amount, filled.taking_amount) == ("matched", 26, 50)
    refusal = refused(
        lambda: client.place_market_order(
            asset_id=yes, side="BUY", amount=52, max_price="0.52", order_type="FOK"
        )
    )
    assert refusal == (400, REFUSED["fok"])


@operation("FAK: filled in part, rest killed; nothing to match is refused", "1.10, 4.1")
def test_fak(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]

    def take() -> Any:
        return client.place_market_order(asset_id=yes, side="BUY", amount=78, max_price="0.52")

    filled = take()
    assert (filled.making_amount, filled.taking_amount) == (Decimal("57.2"), 110)
    assert refused(take) == (400, REFUSED["fak"])
    client.wait_for_order_fill_settlement(filled)
    while not client.get_balance_allowance(asset_type="CONDITIONAL", asset_id=yes).balance:
        pass
    sold = client.place_market_order(asset_id=yes, side="SELL", shares=10, min_price="0.48")
    assert (sold.making_amount, sold.taking_amount) == (10, Decimal("4.8"))


@operation("market order sized from the book", "4.1")
def test_market_price(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    estimate = client.estimate_market_price(asset_id=yes, side="BUY", amount=60, order_type="FOK")
    assert estimate == Decimal("0.53")
    assert client.place_market_order(asset_id=yes, side="BUY", amount=10).status == "matched"


@operation("post-only: rests, or is refused when it would cross", "1.10, 4.1")
def test_post_only(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    assert buy(client, yes, "0.49", 10, post_only=True).status == "live"
    assert refused(lambda: buy(client, yes, "0.52", 10, post_only=True)) == (
        400, REFUSED["crossing"],
    )  # fmt: skip
    client.cancel_all()


@operation("order of a neg-risk market", "0, 2.4")
@operation("order of the newer protocol (exchange V3)", "0, 2.4")
def test_domains(sim: SimProcess, client: SecureClient) -> None:
    [token] = [
        token["token_id"]
        for token in sim.get(f"/markets/{FAVOURITE}")["tokens"]
        if token["outcome"] == "Yes"
    ]
    assert buy(client, token, "0.9", 10).status == "live"
    newer = sim.control("markets", protocol=3, frames_per_s=0)
    assert buy(client, newer["tokens"][0], "0.5", 10).status == "live"
    assert len(client.cancel_all().canceled) == 2


@operation("refusals in the venue's words", "1.10")
def test_refusals(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    signed = client.create_limit_order(asset_id=yes, price="0.5", size=10, side="BUY")
    first = client.post_order(signed)
    assert refused(lambda: client.post_order(signed)) == (
        400, f"order {first.order_id} is invalid. Duplicated.",
    )  # fmt: skip
    status, text = refused(lambda: buy(client, yes, "0.5", 4))
    assert status == 400
    assert text.endswith("is invalid. Size (4) lower than the minimum: 5")
    status, text = refused(lambda: buy(client, yes, "0.5", 10_000_000))
    assert (status, text[:31]) == (400, "not enough balance / allowance:")


@operation("batch: up to 15, answered leg by leg; 16 refused", "1.6, 1.8")
def test_batch(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    legs = [
        client.create_limit_order(asset_id=yes, price="0.4", size=10 + number, side="BUY")
        for number in range(14)
    ]
    small = client.create_limit_order(asset_id=yes, price="0.4", size=1, side="BUY")
    answers = client.post_orders([*legs, small])
    assert all(answer.ok and answer.status == "live" for answer in answers[:14])
    assert (answers[14].ok, answers[14].code) == (False, "unknown")
    assert answers[14].message.endswith("lower than the minimum: 5")
    with pytest.raises(PolymarketError):
        client.post_orders([*legs, small, small])


# -- cancels and queries ---------------------------------------------------------------------


@operation("cancel many, a market, everything", "1.6, 1.9")
def test_cancels(client: SecureClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    client.cancel_all()
    ids = [buy(client, token, "0.4", 10).order_id for token in (yes, yes, no, no)]
    unknown = "0x" + "0" * 64
    answer = client.cancel_orders(order_ids=[ids[0], unknown])
    assert answer.canceled == (ids[0],)
    assert answer.not_canceled == {unknown: "Order not found or already canceled"}
    chosen = client.cancel_market_orders(market=market["market"], asset_id=yes)
    assert chosen.canceled == (ids[1],)
    assert sorted(client.cancel_all().canceled) == sorted(ids[2:])


@operation("open orders and trades to the last page", "1.2, 1.6")
def test_pages(client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    for _ in range(7):
        legs = [
            client.create_limit_order(asset_id=yes, price="0.1", size=10, side="BUY")
            for _ in range(15)
        ]
        assert all(answer.ok for answer in client.post_orders(legs))
    pages = list(client.list_open_orders())
    assert [len(page.items) for page in pages] == [100, 5]
    assert [page.has_more for page in pages] == [True, False]
    client.cancel_all()
    trades = list(client.list_account_trades().iter_items())
    assert len({trade.id for trade in trades}) == len(trades) > 3


@operation("balances and allowances", "1.6")
def test_balances(client: SecureClient) -> None:
    found = client.get_balance_allowance(asset_type="COLLATERAL")
    assert found.balance > 90_000_000_000
    config = PRODUCTION._config
    exchanges = {config.standard_exchange, config.neg_risk_exchange, config.exchange_v3}
    assert exchanges <= set(found.allowances)


@operation("heartbeat: first, next, wrong id", "4.10")
def test_heartbeat(other: SecureClient) -> None:
    first = other.send_order_heartbeat()
    following = other.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    with pytest.raises(OrderHeartbeatMismatchError) as caught:
        other.send_order_heartbeat(heartbeat_id="00000000-0000-0000-0000-000000000000")
    assert caught.value.heartbeat_id == following.heartbeat_id


@operation("notifications: fills and cancels, drop", "1.11")
def test_notifications(client: SecureClient, market: dict[str, Any]) -> None:
    placed = buy(client, market["tokens"][0], "0.52", 120)
    client.cancel_order(order_id=placed.order_id)
    notices = client.get_notifications()
    assert [int(notice.type) for notice in notices[:2]] == [1, 2]
    assert {notice.payload.order_id for notice in notices[:2]} == {placed.order_id}
    assert notices[1].payload.matched_size == 110
    assert notices[1].payload.transaction_hash == placed.transactions_hashes[0]
    client.drop_notifications(ids=[notice.id for notice in notices])
    assert client.get_notifications() == ()


@operation("order scoring", "1.6, 4.7")
@operation("liquidity rewards", "1.6, 4.7")
def test_rewards(sim: SimProcess, client: SecureClient) -> None:
    token = sim.get(f"/markets/{FAVOURITE}")["tokens"][0]["token_id"]
    order_id = buy(client, token, "0.98", 5_000).order_id
    # It is too young; that it scores in the end is shown with the other client.
    assert client.get_order_scoring(order_id=order_id) is False
    assert client.get_orders_scoring(order_ids=[order_id]) == {order_id: False}
    day = datetime.fromtimestamp(epoch_s(), UTC).date().isoformat()
    current = list(client.list_current_rewards().iter_items())
    assert len(current) == len(list(client.list_reward_markets(page_size=2).iter_items())) == 5
    assert current[0].rewards_config[0].rate_per_day > 0
    [raw] = client.list_market_rewards(condition_id=FAVOURITE).iter_items()
    assert raw.tokens[0].asset_id == token
    assert list(client.list_user_earnings_for_day(date=day).iter_items()) == []
    assert client.get_total_earnings_for_user_for_day(date=day) == ()
    rows = list(client.list_user_earnings_and_markets_config(date=day).iter_items())
    assert len(rows) == 5
    assert set(client.get_reward_percentages()) <= {FAVOURITE}
    client.cancel_all()


@operation("maker rebates", "1.3, 4.6")
def test_rebates(client: SecureClient, other: SecureClient, market: dict[str, Any]) -> None:
    day = datetime.fromtimestamp(epoch_s(), UTC).date().isoformat()
    buy(client, market["tokens"][0], "0.5", 40)
    bought = buy(other, market["tokens"][1], "0.5", 40)
    other.wait_for_order_fill_settlement(bought)
    rows = client.get_current_rebates(date=day, maker_address=client.wallet)
    [row] = [row for row in rows if row.condition_id == market["market"]]
    # A quarter of the taker's fee: 40 x 0.04 x 0.5 x 0.5 = 0.4.
    assert row.rebated_fees_usdc == Decimal("0.1")
    assert row.maker_address.lower() == client.wallet.lower()


@operation("builder fees, builder trades", "1.3")
def test_builder(client: SecureClient, market: dict[str, Any]) -> None:
    bought = buy(client, market["tokens"][0], "0.52", 10, builder_code=BUILDER)
    [trade] = client.list_builder_trades(builder_code=BUILDER).iter_items()
    assert (trade.id, trade.builder) == (bought.trade_ids[0], BUILDER)
    assert (trade.size_usdc, trade.fee_usdc) == (Decimal("5.2"), Decimal("0.09984"))
    rates = client.get_builder_fee_rates(BUILDER)
    assert (rates.maker, rates.taker) == (0, 0)


@operation("positions, trades, activity, value (Data API)", "1.13")
@operation("price history", "1.3")
def test_portfolio(sim: SimProcess, client: SecureClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    bought = buy(client, yes, "0.53", 120)
    client.wait_for_order_fill_settlement(bought)
    cid = market["market"]
    while not (positions := list(client.list_positions(condition_id=cid).iter_items())):
        pass
    [held] = positions
    assert (held.asset_id, held.current_size, held.outcome) == (yes, 120, "Yes")
    assert (held.entry_cost_usdc, held.avg_price) == (Decimal("62.5"), Decimal("0.5208"))
    assert (held.status, held.redeemable, held.mergeable) == ("OPEN", False, False)
    trades = list(client.list_trades(user=client.wallet, condition_id=cid).iter_items())
    assert {(trade.side, trade.asset_id) for trade in trades} == {("BUY", yes)}
    assert sum(trade.size for trade in trades) == 120
    done = list(client.list_activity(user=client.wallet, condition_id=cid).iter_items())
    assert {event.type for event in done} == {"TRADE"}
    assert sum(event.amount for event in done) == Decimal("62.5")
    assert client.get_portfolio_value(user=client.wallet).value > 0
    [token] = client.get_token_references(asset_ids=[yes])
    assert (token.condition_id, token.outcome_index) == (cid, 0)
    assert client.get_open_interests(condition_ids=[cid])[0].value > 0
    holders = list(client.list_market_holders(condition_ids=[cid]).iter_items())
    assert holders[0].holders[0].wallet.lower() == client.wallet.lower()
    points = list(client.list_price_history(asset_id=yes, interval="1h").iter_items())
    assert points[-1].price == Decimal("0.53")
