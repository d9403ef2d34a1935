"""Official clients against the exchange: the first order version, every kind of wallet, delays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oracle.sim_process import PATIENCE_S, SimProcess, running
from overround.clock import NS_PER_S, monotonic_ns

FAVOURITE = "0xde04b189b3f19eaccda02529a3ea67abfc46bff5c0c8fc42d8a2d0ed7b8f0d41"
STILL = ("--rate", "0", "--edge-every", "0")


@pytest.fixture(scope="module")
def first() -> Iterator[SimProcess]:
    with running(*STILL, "--version", "1") as sim:
        yield sim


@pytest.fixture(scope="module")
def second() -> Iterator[SimProcess]:
    with running(*STILL) as sim:
        yield sim


def token_of(sim: SimProcess, outcome: int = 0) -> str:
    for market in sim.get("/markets?next_cursor=MA==")["data"]:
        if market["condition_id"] == FAVOURITE:
            return str(market["tokens"][outcome]["token_id"])
    raise AssertionError("the favourite is not listed")


def client_v1(sim: SimProcess, number: int = 0, kind: int = 0) -> Any:
    from py_clob_client.client import ClobClient

    account = sim.ready["accounts"][number]
    wallet = [account["address"], *account["wallets"].values()][kind]
    client = ClobClient(
        sim.url, 137, key=account["private_key"], signature_type=kind, funder=wallet
    )
    client.set_api_creds(client.create_or_derive_api_creds())
    return client


def client_v2(sim: SimProcess, number: int = 0, kind: int = 0) -> Any:
    from py_clob_client_v2.client import ClobClient

    account = sim.ready["accounts"][number]
    wallet = [account["address"], *account["wallets"].values()][kind]
    client = ClobClient(
        sim.url, 137, key=account["private_key"], signature_type=kind, funder=wallet
    )
    client.set_api_creds(client.create_or_derive_api_key())
    return client


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_first_client_trades_in_v1_mode(first: SimProcess, kind: int) -> None:
    from py_clob_client.clob_types import (
        AssetType,
        BalanceAllowanceParams,
        MarketOrderArgs,
        OrderArgs,
        OrderType,
    )

    client = client_v1(first, kind, kind)
    yes = token_of(first)
    resting = client.create_and_post_order(OrderArgs(token_id=yes, price=0.9, size=20, side="BUY"))
    assert (resting["success"], resting["status"], resting["errorMsg"]) == (True, "live", "")
    order = client.get_order(resting["orderID"])
    wallet = [*first.ready["accounts"][kind]["wallets"].values()]
    address = first.ready["accounts"][kind]["address"]
    assert order["maker_address"] == ([address, *wallet])[kind]
    cash = BalanceAllowanceParams(asset_type=AssetType.COLLATERAL, signature_type=kind)
    before = client.get_balance_allowance(cash)
    assert set(before["allowances"]) == {
        "0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E",
        "0xC5d563A36AE78145C45a50134d48A1215220f80a",
    }
    market = client.create_market_order(
        MarketOrderArgs(token_id=yes, amount=9.9, side="BUY", price=0.99)
    )
    bought = client.post_order(market, OrderType.FOK)
    assert (bought["status"], bought["takingAmount"]) == ("matched", "10")
    assert client.cancel(resting["orderID"])["canceled"] == [resting["orderID"]]
    assert [trade["taker_order_id"] for trade in client.get_trades()] == [bought["orderID"]]


def test_the_second_client_signs_the_first_version_where_that_is_asked_for(
    first: SimProcess,
) -> None:
    from py_clob_client_v2.clob_types import OrderArgs

    assert first.get("/version") == {"version": 1}
    client = client_v2(first, 3)
    args = OrderArgs(token_id=token_of(first), price=0.9, size=20, side="BUY")
    signed = client.create_order(args)
    assert not hasattr(signed, "timestamp")
    assert client.post_order(signed)["status"] == "live"
    assert len(client.cancel_all()["canceled"]) == 1


def test_v1_orders_are_refused_in_v2_mode_with_the_venues_words(second: SimProcess) -> None:
    from py_clob_client.clob_types import OrderArgs
    from py_clob_client.exceptions import PolyApiException

    assert second.get("/version") == {"version": 2}
    client = client_v1(second)
    with pytest.raises(PolyApiException) as refused:
        client.create_and_post_order(
            OrderArgs(token_id=token_of(second), price=0.9, size=20, side="BUY")
        )
    assert refused.value.status_code == 400
    assert refused.value.error_msg == {"error": "order_version_mismatch"}


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_every_kind_of_wallet_trades_its_own_money(second: SimProcess, kind: int) -> None:
    from py_clob_client_v2.clob_types import AssetType, BalanceAllowanceParams, OrderArgs

    client = client_v2(second, kind, kind)
    account = second.ready["accounts"][kind]
    wallet = [account["address"], *account["wallets"].values()][kind]
    yes = token_of(second)
    number = second.control("fund", address=wallet, cash="1")["account"]
    assert number == 1_000 + 4 * kind + kind
    placed = client.create_and_post_order(OrderArgs(token_id=yes, price=0.99, size=20, side="BUY"))
    assert (placed["status"], placed["takingAmount"]) == ("matched", "20")
    trade = client.get_trades()[0]
    assert (trade["maker_address"], trade["trader_side"]) == (wallet, "TAKER")
    params = BalanceAllowanceParams(
        asset_type=AssetType.CONDITIONAL, token_id=yes, signature_type=kind
    )
    while client.get_balance_allowance(params)["balance"] == "0":
        assert client.get_trades()[0]["status"] != "TRADE_STATUS_FAILED"
    assert client.get_balance_allowance(params)["balance"] == "20000000"
    other = client_v2(second, kind, (kind + 1) % 4)
    assert other.get_balance_allowance(params)["balance"] == "0"
    assert second.get("/sim/check") == {"ok": True}


def test_an_allowance_is_cached_until_the_client_asks_for_an_update(second: SimProcess) -> None:
    from py_clob_client_v2.clob_types import AssetType, BalanceAllowanceParams, OrderArgs
    from py_clob_client_v2.exceptions import PolyApiException

    client = client_v2(second, 2, 3)
    deposit = second.ready["accounts"][2]["wallets"]["deposit"]
    exchange = "0xe2222d279d744050d28e00520010520000310F59"
    second.control("allowance", address=deposit, spender=exchange, amount=0)
    cash = BalanceAllowanceParams(asset_type=AssetType.COLLATERAL, signature_type=3)
    args = OrderArgs(token_id=token_of(second), price=0.5, size=20, side="BUY")
    assert client.create_and_post_order(args)["status"] == "live"
    client.update_balance_allowance(cash)
    assert client.get_balance_allowance(cash)["allowances"][exchange] == "0"
    with pytest.raises(PolyApiException) as refused:
        client.create_and_post_order(args)
    assert refused.value.error_msg["error"].startswith("not enough balance / allowance: ")
    second.control("allowance", address=deposit, spender=exchange, read=True)
    assert client.create_and_post_order(args)["status"] == "live"
    client.cancel_all()


def test_orders_wait_in_a_live_sports_market(second: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs, OrderType, PostOrdersV2Args
    from py_clob_client_v2.exceptions import PolyApiException

    market = second.control("markets", question="Who wins the match?")
    second.control("delay", market=market["market"], seconds=1)
    assert second.get(f"/clob-markets/{market['market']}")["sd"] == 1
    client = client_v2(second, 1)
    yes = market["tokens"][0]
    orders = [
        client.create_order(OrderArgs(token_id=yes, price=price, size=20, side="BUY"))
        for price in (0.52, 0.3)
    ]
    answers = client.post_orders(
        [PostOrdersV2Args(order=order, orderType=OrderType.GTC) for order in orders]
    )
    assert [answer["status"] for answer in answers] == ["delayed", "live"]
    assert [answers[0][key] for key in ("makingAmount", "takingAmount", "tradeIDs")] == [
        "0", "0", [],
    ]  # fmt: skip
    held = answers[0]["orderID"]
    assert client.get_order(held)["status"] == "DELAYED"
    assert held in client.cancel_orders([held])["not_canceled"]
    with pytest.raises(PolyApiException) as refused:
        client.post_order(orders[0])
    assert refused.value.error_msg == {"error": f"order {held} is invalid. Duplicated."}
    until_s = monotonic_ns() // NS_PER_S + PATIENCE_S
    while held not in [trade["taker_order_id"] for trade in client.get_trades()]:
        assert monotonic_ns() // NS_PER_S < until_s
    assert client.get_order(held) is None
    client.cancel_all()


def test_a_set_is_converted_resolved_and_redeemed_over_http(second: SimProcess) -> None:
    account = second.ready["accounts"][3]
    wallet = account["wallets"]["safe"]
    data, gamma = (second.ready[n].removeprefix(second.url) for n in ("data_url", "gamma_url"))
    event = next(
        event
        for event in second.get("/events/keyset?limit=100")["events"]
        if len(event["markets"]) > 2
    )
    markets = [market["conditionId"] for market in event["markets"]]
    for market in markets[:2]:
        second.control("split", address=wallet, market=market, size="50")
    second.control("convert", address=wallet, markets=markets[:2], size="50")
    assert second.get("/sim/check") == {"ok": True}
    positions = second.get(f"{data}/positions?user={wallet}&sizeThreshold=0")
    assert len(positions) == len(markets)
    for market in markets[1:]:
        second.control("resolve", market=market, outcome=1)
    second.control("resolve", market=markets[0], outcome=0)
    paid = second.control("redeem", address=wallet, market=markets[0])
    assert paid["paid_micro"] == 50_000_000
    assert paid["cash"] == str(100_000_000_000)  # what it started with: 100 - 100 + 50 + 50
    listed = second.get(f"{gamma}/markets?condition_ids={markets[0]}&closed=true")[0]
    assert json.loads(listed["outcomePrices"]) == ["1", "0"]
    assert second.get("/sim/check") == {"ok": True}
