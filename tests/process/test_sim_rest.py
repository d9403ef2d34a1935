"""Listings no official client is strict about: Gamma's pages, Data API v1, refusals of each."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from oracle.conformance import ADDRESS, NUMBER, TOKEN, WORD, conform
from oracle.sim_process import PATIENCE_S, SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.match.types import Side

POSITION = {
    "proxyWallet": ADDRESS, "asset": TOKEN, "conditionId": WORD, "size": NUMBER,
    "avgPrice": NUMBER, "initialValue": NUMBER, "currentValue": NUMBER, "cashPnl": NUMBER,
    "percentPnl": NUMBER, "totalBought": NUMBER, "realizedPnl": NUMBER,
    "percentRealizedPnl": NUMBER, "curPrice": NUMBER, "redeemable": bool, "mergeable": bool,
    "title": str, "slug": str, "icon": str, "eventId": str, "eventSlug": str, "outcome": str,
    "outcomeIndex": int, "oppositeOutcome": str, "oppositeAsset": TOKEN, "endDate": str,
    "negativeRisk": bool,
}  # fmt: skip


@pytest.fixture(scope="module")
def sim() -> Iterator[SimProcess]:
    with running("--rate", "0", "--edge-every", "0") as process:
        yield process


@pytest.fixture(scope="module")
def wallet(sim: SimProcess) -> HostileWallet:
    return HostileWallet(sim, 1)


def ask(sim: SimProcess, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(sim.url + path, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def buy_ten(wallet: HostileWallet, token: str) -> tuple[int, Any]:
    """Buy ten shares at 0.52 in a market of one outcome's own."""
    order = wallet.body(token, Side.BUY, 5_200_000, 10_000_000, neg_risk=False)
    return wallet.l2("POST", "/order", json.dumps(order).encode())


# -- Gamma -----------------------------------------------------------------------------------


def test_gamma_pages_by_offset_and_by_key(sim: SimProcess) -> None:
    by_offset = [
        market["conditionId"]
        for offset in range(0, 8, 3)
        for market in sim.get(f"/gamma/markets?limit=3&offset={offset}")
    ]
    by_key, cursor = [], ""
    while cursor is not None:
        page = sim.get(f"/gamma/markets/keyset?limit=3&after_cursor={cursor}")
        by_key += [market["conditionId"] for market in page["markets"]]
        cursor = page.get("next_cursor")
    assert by_offset[: len(by_key)] == by_key[: len(by_offset)]
    assert len(set(by_key)) == len(by_key) >= 8
    assert sim.get("/events/keyset?limit=100") == sim.get("/gamma/events/keyset?limit=100")


def test_gamma_filters_and_orders(sim: SimProcess) -> None:
    [favourite] = sim.get(f"/gamma/markets?condition_ids={FAVOURITE}")
    tokens = json.loads(favourite["clobTokenIds"])
    assert sim.get(f"/gamma/markets?clob_token_ids={tokens[1]}") == [favourite]
    assert sim.get(f"/gamma/markets?slug={favourite['slug']}&version=v1") == [favourite]
    assert sim.get(f"/gamma/markets?id={favourite['id']}&version=v2") == []
    down = sim.get("/gamma/markets?tag_id=159&order=volumeNum&ascending=false")
    volumes = [market["volumeNum"] for market in down]
    assert len(volumes) == 5
    assert volumes == sorted(volumes, reverse=True)
    event = sim.get("/gamma/events?title_search=FED%20DECISION&tag_slug=fed")[0]
    assert [market["conditionId"] for market in event["markets"]].count(FAVOURITE) == 1
    with_tags = sim.get(f"/gamma/markets/{favourite['id']}?include_tag=true")
    assert {"id": "159", "label": "Fed", "slug": "fed"} in with_tags["tags"]
    found = sim.get("/gamma/public-search?q=fed&search_tags=true&limit_per_type=1")
    assert found["pagination"] == {"hasMore": False, "totalResults": 1}
    assert len(found["tags"]) == 1


def test_gamma_refusals(sim: SimProcess) -> None:
    for path, status in (
        ("/gamma/markets?offset=2001", 422),
        ("/gamma/markets?limit=many", 422),
        ("/gamma/markets/keyset?offset=1", 422),
        ("/gamma/events/keyset?after_cursor=x", 422),
        ("/gamma/public-search", 422),
        ("/gamma/public-search?q=fed&page=0", 422),
        ("/gamma/tags?offset=-1", 422),
        ("/gamma/markets/1", 404),
        ("/gamma/markets/slug/none", 404),
        ("/gamma/markets/1/tags", 404),
        ("/gamma/events/1", 404),
        ("/gamma/events/slug/none", 404),
        ("/gamma/events/1/tags", 404),
        ("/gamma/tags/1", 404),
        ("/gamma/tags/slug/none", 404),
    ):
        answered, body = ask(sim, path)
        assert (answered, set(body)) == (status, {"type", "error"}), path
    assert ask(sim, "/gamma/series") == (200, [])


# -- CLOB ------------------------------------------------------------------------------------


def test_requests_for_many_in_the_query(sim: SimProcess) -> None:
    tokens = [token["token_id"] for token in sim.get(f"/markets/{FAVOURITE}")["tokens"]]
    both = ",".join(tokens)
    assert [book["asset_id"] for book in sim.get(f"/books?token_ids={both}")] == tokens
    assert set(sim.get(f"/midpoints?token_ids={both}")) == set(tokens)
    prices = sim.get(f"/prices?token_ids={both}&sides=BUY")
    assert [set(prices[token]) for token in tokens] == [{"BUY"}, {"BUY", "SELL"}]
    assert sim.post("/spreads", {"token_id": 1}) == (400, {"error": "Invalid payload"})
    assert sim.post("/prices", [1]) == (400, {"error": "Invalid payload"})
    many = [{"token_id": "1"}] * 501
    assert sim.post("/midpoints", many) == (400, {"error": "Payload exceeds the limit"})
    assert ask(sim, f"/price?token_id={tokens[0]}") == (400, {"error": "Invalid side"})


def test_listing_refusals(sim: SimProcess) -> None:
    for path in (
        "/markets?next_cursor=x",
        "/prices-history?interval=1h",
        "/prices-history?market=1&interval=2h",
        "/prices-history?market=1&startTs=x",
        "/builder/trades?builder_code=1",
        "/fees/builder-fees/1",
        "/rebates/current?date=today",
    ):
        status, body = ask(sim, path)
        assert (status, set(body)) == (400, {"error"}), path
    assert ask(sim, "/prices-history?market=1&interval=max") == (200, {"history": []})
    assert sim.post("/batch-prices-history", {"markets": ["1"], "interval": "1d"}) == (
        200, {"history": {"1": []}},
    )  # fmt: skip
    assert sim.post("/batch-prices-history", {"markets": []})[0] == 400


def test_account_refusals(wallet: HostileWallet) -> None:
    for method, path, body in (
        ("DELETE", "/auth/readonly-api-key", b"[]"),
        ("DELETE", "/notifications?ids=x", b""),
        ("GET", "/order-scoring", b""),
        ("POST", "/orders-scoring", b"{}"),
        ("GET", "/rewards/user?date=1", b""),
        ("GET", "/rewards/user/total", b""),
        ("GET", "/rewards/user/markets?date=", b""),
    ):
        status, answer = wallet.send(method, path, wallet.headers(method, path, body), body)
        assert (status, set(answer)) == (400, {"error"}), path
    path, body = "/auth/readonly-api-key", b'{"key":"x"}'
    assert wallet.send("DELETE", path, wallet.headers("DELETE", path, body), body)[0] == 404
    assert wallet.send("GET", "/auth/validate-readonly-api-key?address=x&key=y")[0] == 401
    path = "/auth/builder-api-key"
    assert wallet.send("DELETE", path, wallet.headers("DELETE", path))[0] == 404
    assert wallet.send("DELETE", path, {"POLY_BUILDER_API_KEY": "x"})[0] == 401
    assert wallet.send("GET", "/notifications")[0] == 401


# -- Data API --------------------------------------------------------------------------------


def test_positions_follow_a_market_to_its_end(sim: SimProcess, wallet: HostileWallet) -> None:
    added = sim.control("markets", frames_per_s=0)
    yes = added["tokens"][0]
    user = wallet.signer.address
    status, bought = buy_ten(wallet, yes)
    assert (status, bought["status"]) == (200, "matched")
    query = f"user={user}&market={added['market']}"
    while not (positions := sim.get(f"/data-api/positions?{query}")):
        pass
    conform(positions, [POSITION])
    [held] = positions
    assert (held["size"], held["avgPrice"], held["initialValue"]) == (10, 0.52, 5.2)
    assert (held["curPrice"], held["currentValue"], held["cashPnl"]) == (0.5, 5.0, -0.2)
    assert sim.get(f"/data-api/value?{query}") == [{"user": user.lower(), "value": 5.0}]
    assert sim.get(f"/data-api/traded?user={user}")["traded"] == 1
    [trade] = sim.get(f"/data-api/trades?{query}")
    assert (trade["side"], trade["size"], trade["asset"]) == ("BUY", 10, yes)
    assert sim.get(f"/data-api/activity?{query}&type=SPLIT") == []
    assert sim.get(f"/data-api/activity?{query}")[0]["usdcSize"] == 5.2
    holders = sim.get(f"/data-api/holders?market={added['market']}")
    assert [row["token"] for row in holders] == added["tokens"]
    assert [holder["amount"] for holder in holders[0]["holders"]] == [10]
    assert sim.get(f"/data-api/oi?market={added['market']}")[0]["value"] >= 10
    [volume] = sim.get(f"/data-api/live-volume?market={added['market']}")
    assert volume["total"] == 5.2
    assert sim.get(f"/data-api/positions?{query}&sizeThreshold=11") == []
    assert sim.get(f"/data-api/closed-positions?{query}") == []

    sim.control("resolve", market=added["market"])
    [won] = sim.get(f"/data-api/positions?{query}")
    assert (won["redeemable"], won["curPrice"], won["currentValue"]) == (True, 1, 10)
    record = sim.get(f"/markets/{added['market']}")
    assert [token["winner"] for token in record["tokens"]] == [True, False]
    assert record["closed"]
    tokens = sim.get(f"/data-api/v2/tokens?condition={added['market']}")["data"]
    assert [(token["resolved"], token["final_price"]) for token in tokens] == [(True, 1), (True, 0)]
    sim.control("redeem", address=user, market=added["market"])
    assert sim.get(f"/data-api/positions?{query}") == []


def test_data_refusals(sim: SimProcess, wallet: HostileWallet) -> None:
    assert ask(sim, "/data-api/positions") == (
        400, {"error": "required query param 'user' not provided"},
    )  # fmt: skip
    for path in (
        "/data-api/v2/positions?user=me",
        f"/data-api/v2/trades?user={wallet.signer.address}&cursor=%3F",
        "/data-api/v2/trades?limit=x",
        "/data-api/v2/prices-history",
        "/data-api/v2/tokens",
        "/data-api/v2/holders",
    ):
        status, body = ask(sim, path)
        assert (status, set(body)) == (400, {"error", "code", "retryable", "trace_id"}), path
    unknown = "0x" + "9" * 40
    assert sim.get(f"/data-api/v2/positions?user={unknown}")["data"] == []
    assert sim.get(f"/relayer/deployed?address={unknown}") == {"deployed": False}
    assert sim.get("/sim/state")["server_errors"] == 0


def test_data_pages_end(sim: SimProcess, wallet: HostileWallet) -> None:
    yes = sim.control("markets", frames_per_s=0)["tokens"][0]
    for _ in range(3):
        assert buy_ten(wallet, yes)[0] == 200
    user, found, cursor = wallet.signer.address, [], ""
    while cursor is not None:
        page = sim.get(f"/data-api/v2/trades?user={user}&limit=2&cursor={cursor}")
        found += page["data"]
        cursor = page["pagination"]["next_cursor"]
        assert page["pagination"]["has_more"] is (cursor is not None)
    assert len({row["transaction_hash"] for row in found}) == len(found) >= 3
    assert sum(row["token_id"] == yes for row in found) == 3
