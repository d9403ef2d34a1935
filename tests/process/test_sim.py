"""The exchange process: official clients, true hashes on real sockets, faults, start and stop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oracle.sim_process import PATIENCE_S, SimProcess, command, running
from oracle.sim_rig import BookReader
from overround.clock import monotonic_ns

FAVOURITE = "0xde04b189b3f19eaccda02529a3ea67abfc46bff5c0c8fc42d8a2d0ed7b8f0d41"


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[SimProcess]:
    log = str(tmp_path / "log.jsonl")
    with running("--rate", "0", "--edge-every", "0", "--log", log) as sim:
        yield sim


def markets_of(sim: SimProcess) -> dict[str, dict[str, Any]]:
    events = sim.get("/events/keyset?limit=100")["events"]
    return {market["conditionId"]: market for event in events for market in event["markets"]}


def tokens_of(market: dict[str, Any]) -> list[str]:
    return list(json.loads(market["clobTokenIds"]))


def client_of(sim: SimProcess) -> Any:
    from py_clob_client_v2.client import ClobClient

    client = ClobClient(sim.url, 137, key=sim.ready["accounts"][0]["private_key"])
    client.set_api_creds(client.create_or_derive_api_key())
    return client


async def frames(socket: Any, enough: Any) -> list[Any]:
    """Frames as JSON until ``enough`` is true of the list."""
    found: list[Any] = []
    while not enough(found):
        message = await socket.receive(timeout=PATIENCE_S)
        assert message.type == aiohttp.WSMsgType.TEXT, message
        found.append(json.loads(message.data))
    return found


def test_official_client_places_queries_cancels_and_trades(
    quiet: SimProcess, tmp_path: Path
) -> None:
    from py_clob_client_v2.clob_types import (
        AssetType,
        BalanceAllowanceParams,
        OrderArgs,
        OrderPayload,
        OrderType,
    )

    client = client_of(quiet)
    assert client.create_or_derive_api_key() == client.derive_api_key()
    yes = tokens_of(markets_of(quiet)[FAVOURITE])[0]
    book = client.get_order_book(yes)
    assert (
        client.get_order_book_hash(
            __import__("py_clob_client_v2.utilities", fromlist=["x"]).parse_raw_orderbook_summary(
                book
            )
        )
        == book["hash"]
    )

    placed = client.create_and_post_order(OrderArgs(token_id=yes, price=0.9, size=20, side="BUY"))
    assert (placed["status"], placed["makingAmount"]) == ("live", "")
    assert client.get_order(placed["orderID"])["size_matched"] == "0"
    assert [order["id"] for order in client.get_open_orders()] == [placed["orderID"]]
    answer = client.cancel_order(OrderPayload(orderID=placed["orderID"]))
    assert answer == {"canceled": [placed["orderID"]], "not_canceled": {}}
    assert client.get_order(placed["orderID"]) is None

    args = OrderArgs(token_id=yes, price=0.99, size=20, side="BUY")
    bought = client.create_and_post_order(args, order_type=OrderType.GTC)
    assert (bought["status"], bought["makingAmount"], bought["takingAmount"]) == (
        "matched", "19.62", "20",
    )  # fmt: skip
    trade = client.get_trades()[0]
    assert (trade["taker_order_id"], trade["price"]) == (bought["orderID"], "0.981")
    params = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=yes)
    while client.get_balance_allowance(params)["balance"] == "0":
        assert client.get_trades()[0]["status"] != "TRADE_STATUS_FAILED"
    assert client.get_balance_allowance(params)["balance"] == "20000000"
    assert client.cancel_all() == {"canceled": [], "not_canceled": {}}
    beat = client.post_heartbeat("")["heartbeat_id"]
    assert client.post_heartbeat(beat)["heartbeat_id"] == beat
    assert quiet.get("/sim/check") == {"ok": True}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "deposit"] == [
        "accepted", "canceled", "accepted", "trade", "settled",
    ]  # fmt: skip


def test_batch_answers_leg_by_leg(quiet: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs, OrderType, PostOrdersV2Args

    client = client_of(quiet)
    yes, no = tokens_of(markets_of(quiet)[FAVOURITE])
    legs = [
        client.create_order(OrderArgs(token_id=yes, price=0.9, size=20, side="BUY")),
        client.create_order(OrderArgs(token_id=no, price=0.5, size=4, side="BUY")),
        client.create_order(OrderArgs(token_id=no, price=0.02, size=100, side="BUY")),
    ]
    answers = client.post_orders(
        [PostOrdersV2Args(order=leg, orderType=OrderType.GTC) for leg in legs]
    )
    assert [answer["status"] for answer in answers] == ["live", "", "matched"]
    assert "lower than the minimum" in answers[1]["errorMsg"]
    assert answers[1]["orderID"] == ""


def test_old_client_reads_and_cancels(quiet: SimProcess) -> None:
    client_module = pytest.importorskip("py_clob_client.client")
    client = client_module.ClobClient(
        quiet.url, chain_id=137, key=quiet.ready["accounts"][1]["private_key"]
    )
    client.set_api_creds(client.create_or_derive_api_creds())
    yes = tokens_of(markets_of(quiet)[FAVOURITE])[0]
    assert client.get_tick_size(yes) == "0.001"
    assert client.get_neg_risk(yes) is True
    assert client.get_order_book(yes).bids[-1].price == "0.98"
    assert client.get_orders() == []
    assert client.cancel_all() == {"canceled": [], "not_canceled": {}}


def test_public_answers_have_the_venues_shapes(quiet: SimProcess) -> None:
    market = markets_of(quiet)[FAVOURITE]
    yes, no = tokens_of(market)
    assert quiet.get("/version") == {"version": 2}
    assert quiet.get("/ok") == "OK"
    assert isinstance(quiet.get("/time"), int)
    assert quiet.get(f"/tick-size?token_id={yes}") == {"minimum_tick_size": 0.001}
    assert quiet.get(f"/neg-risk/{no}") == {"neg_risk": True}
    assert quiet.get(f"/fee-rate?token_id={no}") == {"base_fee": 0}
    assert quiet.get(f"/midpoint?token_id={yes}") == {"mid": "0.9805"}
    assert quiet.get(f"/spread?token_id={no}") == {"spread": "0.001"}
    assert quiet.get(f"/price?token_id={yes}&side=BUY") == {"price": "0.98"}
    assert quiet.get(f"/price?token_id={yes}&side=SELL") == {"price": "0.981"}
    assert quiet.get(f"/last-trade-price?token_id={yes}") == {"price": "0.5", "side": ""}
    by_token = quiet.get(f"/markets-by-token/{no}")
    assert (by_token["condition_id"], by_token["primary_token_id"]) == (FAVOURITE, yes)
    record = quiet.get(f"/clob-markets/{FAVOURITE}")
    assert (record["mts"], record["mos"], record["nr"]) == (0.001, 5, True)
    assert record["fd"] == {"r": 0.05, "e": 1, "to": True}
    asked = [{"token_id": yes}, {"token_id": "unknown"}, {"token_id": no}]
    status, books = quiet.post("/books", asked)
    assert (status, [book["asset_id"] for book in books]) == (200, [yes, no])
    assert quiet.get(f"/books?token_ids={yes}")[0] == books[0]
    assert quiet.post("/books", {"no": "list"}) == (400, {"error": "Invalid payload"})
    assert quiet.post("/books", asked * 200)[0] == 400
    page = quiet.get("/events/keyset?limit=1")
    assert (len(page["events"]), page["next_cursor"]) == (1, "1")
    assert page["events"][0]["negRisk"] is True
    assert quiet.get("/events/slug/fed-decision-in-june-825")["id"] == "101772"
    assert len(quiet.get("/markets/keyset?limit=50")["markets"]) == 8
    for path in ("/book?token_id=1", "/midpoint?token_id=1", "/tick-size?token_id=1"):
        assert quiet.post("/order", {})[0] == 401
        with pytest.raises(Exception, match="404"):
            quiet.get(path)


async def test_every_hash_on_a_live_socket_is_true() -> None:
    with running("--rate", "400", "--edge-every", "1", "--seed", "5") as sim:
        markets = markets_of(sim)
        reader = BookReader({cid: market["negRisk"] for cid, market in markets.items()})
        tokens = [token for market in markets.values() for token in tokens_of(market)]
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(sim.ready["ws_market_url"])
            subscribe = {"assets_ids": tokens, "type": "market", "custom_feature_enabled": True}
            await socket.send_str(json.dumps(subscribe))
            for frame in await frames(socket, lambda found: len(found) > 1_500):
                reader.feed(frame)
            sim.control("flow", paused=True)
            sim.control("frame", text='{"event_type": "end", "market": ""}')
            for frame in await frames(
                socket, lambda found: found and found[-1] == {"event_type": "end", "market": ""}
            ):
                if not isinstance(frame, dict) or frame["event_type"] != "end":
                    reader.feed(frame)
            while reader.pending:  # prints follow their match by up to 48 ms
                for frame in await frames(socket, len):
                    reader.feed(frame)
            await socket.close()
        reader.finish()
        assert reader.checked > 1_000
        state = sim.get("/sim/state")
        assert state["edges"][0]["opened"] >= 1
        assert sim.get("/sim/check") == {"ok": True}


async def test_user_socket_tells_a_trade_to_its_end(quiet: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs

    client = client_of(quiet)
    credentials = client.creds
    auth = {
        "apiKey": credentials.api_key,
        "secret": credentials.api_secret,
        "passphrase": credentials.api_passphrase,
    }
    yes = tokens_of(markets_of(quiet)[FAVOURITE])[0]
    async with aiohttp.ClientSession() as session:
        refused = await session.ws_connect(quiet.ready["ws_user_url"])
        await refused.send_str(json.dumps({"type": "user", "auth": {**auth, "secret": "no"}}))
        assert (await refused.receive(timeout=PATIENCE_S)).type == aiohttp.WSMsgType.CLOSE
        socket = await session.ws_connect(quiet.ready["ws_user_url"])
        await socket.send_str(json.dumps({"type": "user", "auth": auth}))
        await socket.send_str("PING")
        assert (await socket.receive(timeout=PATIENCE_S)).data == "PONG"
        client.create_and_post_order(OrderArgs(token_id=yes, price=0.981, size=20, side="BUY"))
        events = await frames(
            socket, lambda found: found and found[-1].get("status") == "CONFIRMED"
        )
        await socket.close()
        await refused.close()
    assert [event["event_type"] for event in events] == ["order"] * 2 + ["trade"] * 3
    assert [event["status"] for event in events[2:]] == ["MATCHED", "MINED", "CONFIRMED"]


async def test_market_added_while_running_is_announced_and_trades(quiet: SimProcess) -> None:
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(quiet.ready["ws_market_url"])
        await socket.send_str('{"assets_ids":[],"type":"market","custom_feature_enabled":true}')
        await socket.send_str("PING")
        assert (await socket.receive(timeout=PATIENCE_S)).data == "PONG"
        added = quiet.control("markets", question="Will it rain?", slug="rain", frames_per_s=20)
        event = (await frames(socket, len))[0]
        assert (event["event_type"], event["market"]) == ("new_market", added["market"])
        assert event["assets_ids"] == added["tokens"]
        await socket.send_str(json.dumps({"operation": "subscribe", "assets_ids": added["tokens"]}))
        found = await frames(socket, lambda found: len(found) > 3)
        assert [book["asset_id"] for book in found[0]] == added["tokens"]
        quiet.control("resolve", market=added["market"])
        resolved = (await frames(socket, lambda f: f and f[-1]["event_type"] == "market_resolved"))[
            -1
        ]
        assert resolved["winning_asset_id"] == added["tokens"][0]
        await socket.close()
    assert added["market"] in markets_of(quiet)
    assert markets_of(quiet)[added["market"]]["acceptingOrders"] is False


async def test_fault_switches_do_what_they_say(quiet: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs

    client = client_of(quiet)
    yes = tokens_of(markets_of(quiet)[FAVOURITE])[0]
    order = client.create_order(OrderArgs(token_id=yes, price=0.9, size=20, side="BUY"))
    quiet.control("faults", path="/order", method="POST", lose=True)
    with pytest.raises(Exception, match="Request exception"):
        client.post_order(order)
    assert len(client.get_open_orders()) == 1
    with pytest.raises(Exception, match="Duplicated"):
        client.post_order(order)
    quiet.control("faults", path="/data/orders", status=425, text="restarting")
    with pytest.raises(Exception, match="restarting"):
        client.get_open_orders()
    quiet.control("faults", path="/data/orders", delay_ms=20, before_ms=20)
    assert len(client.get_open_orders()) == 1
    quiet.control("faults", clear=True)
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(quiet.ready["ws_market_url"])
        await socket.send_str(json.dumps({"assets_ids": [yes], "type": "market"}))
        await frames(socket, len)
        quiet.control("silent", market=FAVOURITE)
        quiet.control("drop", market=FAVOURITE, count=2)
        client.cancel_all()
        quiet.control("silent", market=FAVOURITE, on=False)
        quiet.control("frame", text='"x"', repeat=1)
        assert await frames(socket, len) == ["x"]
        quiet.control("frame", text="abc", binary=True)
        assert (await socket.receive(timeout=PATIENCE_S)).type == aiohttp.WSMsgType.BINARY
        quiet.control("tick", market=FAVOURITE, tick="0.0001")
        assert (await frames(socket, len))[0]["new_tick_size"] == "0.0001"
        quiet.control("refuse-sockets")
        assert quiet.control("close", channel="market") == {"closed": 1}
        kind = (await socket.receive(timeout=PATIENCE_S)).type
        assert kind in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(quiet.ready["ws_market_url"])
        quiet.control("refuse-sockets", on=False)
        again = await session.ws_connect(quiet.ready["ws_market_url"])
        await again.close()
    assert quiet.control("fail-trades", count=2) == {"fail_trades": 2}
    assert quiet.control("edge", kind="sell_all", hold_ms=10_000) == {"opened": True}
    address = quiet.ready["accounts"][0]["address"]
    assert "account" in quiet.control("fund", address=address, cash="5")
    assert quiet.post("/sim/tick", {"market": "0x0", "tick": "0.01"})[0] == 400
    assert quiet.post("/sim/frame", {"text": "x", "repeat": 9 << 20})[0] == 400
    assert quiet.post("/sim/flow", [])[0] == 400


def test_taken_port_is_one_clear_line_and_status_1(quiet: SimProcess) -> None:
    port = quiet.url.rpartition(":")[2]
    second = subprocess.run(command("--port", port), capture_output=True, timeout=PATIENCE_S)
    assert second.returncode == 1
    assert second.stdout == b""
    lines = second.stderr.decode().strip().splitlines()
    assert len(lines) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in lines[0]


@pytest.mark.parametrize(
    "options",
    [("--port", "70000"), ("--rate", "-1"), ("--accounts", "-1"), ("--feed", "/absent.ndjson")],
)
def test_bad_flags_are_usage_errors(options: tuple[str, str]) -> None:
    done = subprocess.run(command(*options), capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1


def test_exchange_ends_by_itself_after_its_seconds() -> None:
    done = subprocess.run(
        command("--seconds", "0.2", "--rate", "50"), capture_output=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0
    # A program may read the line however it started us; the sentence is for people.
    ready = json.loads(done.stdout)
    assert done.stderr.decode().strip().startswith(f"exchange ready at {ready['rest_url']}: ")
    assert len(done.stderr.splitlines()) == 1


def test_market_of_the_newer_protocol_takes_orders_of_its_own_domain(quiet: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs

    added = quiet.control("markets", slug="newer", protocol=3, frames_per_s=0)
    listed = markets_of(quiet)[added["market"]]
    assert (listed["version"], listed["positionIds"]) == ("v2", added["tokens"])
    client = client_of(quiet)
    args = OrderArgs(position_id=added["tokens"][0], price=0.4, size=20, side="BUY")
    assert client.create_and_post_order(args)["status"] == "live"
    older = OrderArgs(token_id=added["tokens"][0], price=0.4, size=20, side="BUY")
    with pytest.raises(Exception, match="invalid signature"):
        client.create_and_post_order(older)


def test_marketable_orders_of_fast_markets_are_held(quiet: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs

    added = quiet.control("markets", slug="fast", hold_ms=150, frames_per_s=0)
    assert quiet.get(f"/clob-markets/{added['market']}")["itode"] is True
    client = client_of(quiet)
    args = OrderArgs(token_id=added["tokens"][0], price=0.6, size=20, side="BUY")
    order = client.create_order(args)
    before = quiet.get("/sim/state")["trades"]
    began_ns = monotonic_ns()
    assert client.post_order(order)["status"] == "matched"
    assert monotonic_ns() - began_ns >= 150_000_000
    assert quiet.get("/sim/state")["trades"] == before + 1


def test_stale_rest_books_stay_while_the_book_goes_on(quiet: SimProcess) -> None:
    from py_clob_client_v2.clob_types import OrderArgs

    yes = tokens_of(markets_of(quiet)[FAVOURITE])[0]
    before = quiet.get(f"/book?token_id={yes}")
    assert quiet.control("stale-books") == {"stale": True}
    client = client_of(quiet)
    client.create_and_post_order(OrderArgs(token_id=yes, price=0.9, size=20, side="BUY"))
    assert quiet.get(f"/book?token_id={yes}") == before
    quiet.control("stale-books", on=False)
    after = quiet.get(f"/book?token_id={yes}")
    assert int(after["timestamp"]) > int(before["timestamp"])
    assert after["hash"] != before["hash"]
