"""Every fault switch of requests and orders shows on the wire, and ends."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oracle.fault_rig import FaultRig, fault_rig
from oracle.sim_process import SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.clock import NS_PER_MS, epoch_ms, monotonic_ns
from overround.match.types import Side
from overround.sim.faults import SWITCHES

LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)


@pytest.fixture
async def rig(fault_sim: SimProcess) -> AsyncIterator[FaultRig]:
    async with fault_rig(fault_sim) as made:
        yield made


async def open_ids(rig: FaultRig) -> list[str]:
    return [order["id"] for order in (await rig.request("GET", "/data/orders"))[1]["data"]]


async def refused(rig: FaultRig, **order: Any) -> tuple[int, str]:
    status, answer, _ = await rig.request("POST", "/order", rig.order(**order))
    return status, answer.get("error", "")


# -- requests ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["answer-lost", "answer-torn"])
async def test_answer_lost_and_answer_torn(rig: FaultRig, name: str) -> None:
    order = rig.order()
    rig.turn(name)
    with pytest.raises(LOST):
        await rig.request("POST", "/order", order)
    assert len(await open_ids(rig)) == 1  # it was done
    status, answer, _ = await rig.request("POST", "/order", order)
    assert (status, answer["error"].endswith("Duplicated.")) == (400, True)


async def test_request_lost(rig: FaultRig) -> None:
    order = rig.order()
    rig.turn("request-lost")
    with pytest.raises(LOST):
        await rig.request("POST", "/order", order)
    assert await open_ids(rig) == []  # it was not done
    assert (await rig.request("POST", "/order", order))[0] == 200


@pytest.mark.parametrize("name", ["answer-slow", "request-slow"])
async def test_answer_slow_and_request_slow(rig: FaultRig, name: str) -> None:
    user = await rig.user()
    rig.turn(name, 400)
    began_ns = monotonic_ns()
    waiting = asyncio.ensure_future(rig.place())
    assert [event["type"] for event in await rig.until(user, len)] == ["PLACEMENT"]
    if name == "answer-slow":
        assert not waiting.done()  # told before it is answered
    else:
        assert monotonic_ns() - began_ns >= 400 * NS_PER_MS
    await waiting
    assert monotonic_ns() - began_ns >= 400 * NS_PER_MS


async def test_close_after(rig: FaultRig) -> None:
    rig.turn("close-after", 3)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        rig.session, plain = session, rig.session
        for _ in range(2):  # a new connection may send as many again
            for _ in range(3):
                await rig.place()
            with pytest.raises(LOST):
                await rig.place()
        rig.session = plain
    rig.turn("close-after", 0)
    assert len(await open_ids(rig)) == 6


async def test_gateway_error(rig: FaultRig) -> None:
    rig.turn("gateway-error")
    status, answer, headers = await rig.request("GET", "/time", login=False)
    assert (status, headers["Content-Type"].partition(";")[0]) == (502, "text/html")
    assert "<html>" in answer
    assert (await rig.request("GET", "/time", login=False))[0] == 200


async def test_too_many(rig: FaultRig) -> None:
    rig.turn("too-many")
    status, answer, headers = await rig.request("POST", "/order", rig.order())
    assert (status, answer) == (429, {"error": "Too Many Requests"})
    assert headers["Retry-After"] == "1"
    assert await open_ids(rig) == []


async def test_book_stale(rig: FaultRig) -> None:
    path = f"/book?token_id={rig.tokens[FAVOURITE][0]}"
    rig.turn("book-stale")
    before = rig.sim.get(path)
    await rig.place()
    assert rig.sim.get(path) == before
    rig.turn("book-stale", 0)
    assert rig.sim.get(path)["hash"] != before["hash"]


async def test_book_hollow(rig: FaultRig) -> None:
    yes, no = rig.tokens[FAVOURITE]
    rig.turn("book-hollow")
    status, books = rig.sim.post("/books", [{"token_id": yes}, {"token_id": no}])
    for book in (rig.sim.get(f"/book?token_id={yes}"), *books):
        assert [level["price"] for level in book["bids"] + book["asks"]] == ["0.01", "0.99"]
    rig.turn("book-hollow", 0)
    assert (status, len(rig.sim.get(f"/book?token_id={yes}")["bids"]) > 1) == (200, True)


async def test_books_short(rig: FaultRig) -> None:
    asked = [{"token_id": token} for token in rig.tokens[FAVOURITE]]
    for omitted in (1, 0):
        rig.turn("books-short", omitted)
        _, books = rig.sim.post("/books", asked)
        assert len(books) == 2 - omitted


# -- orders ------------------------------------------------------------------------------


async def test_restart_and_post_only_after(rig: FaultRig) -> None:
    rig.turn("post-only-after", 0.4)
    began_ns = monotonic_ns()
    rig.turn("restart", 0.3)
    status, answer, headers = await rig.request("DELETE", "/cancel-all")
    assert (status, headers["Retry-After"]) == (425, "1")
    assert "restarting" in answer["error"]
    assert (await rig.request("GET", "/data/orders"))[0] == 200
    seen = [(await refused(rig, post_only=True))[0]]
    while seen[-1] == 425:
        seen.append((await refused(rig, post_only=True))[0])
    assert monotonic_ns() - began_ns >= 290 * NS_PER_MS
    assert seen[-1] == 200
    assert (await refused(rig))[0] == 503
    while (await refused(rig))[0] == 503:
        pass
    assert monotonic_ns() - began_ns >= 680 * NS_PER_MS
    assert {"restart", "post-only"}.isdisjoint(rig.sim.control("faults")["on"])


async def test_post_only(rig: FaultRig) -> None:
    rig.turn("post-only", 30)
    status, answer, headers = await rig.request("POST", "/order", rig.order())
    assert status == 503
    assert answer["code"] == "post_only_mode"
    assert answer["error"] == "post-only mode: only post-only orders and cancels are allowed"
    assert 28 <= int(headers["Retry-After"]) == answer["retry_after_seconds"] <= 30
    mixed = [rig.order(post_only=True), rig.order()]
    assert (await rig.request("POST", "/orders", mixed))[0] == 503
    placed = await rig.place(post_only=True)
    assert (await rig.cancel(placed["orderID"]))["canceled"] == [placed["orderID"]]


async def test_trading_disabled(rig: FaultRig) -> None:
    rig.turn("trading-disabled")
    text = "Trading is currently disabled. Check polymarket.com for updates"
    assert await refused(rig) == (503, text)
    assert (await rig.request("DELETE", "/cancel-all"))[:2] == (503, {"error": text})


async def test_cancel_only(rig: FaultRig) -> None:
    placed = await rig.place()
    rig.turn("cancel-only")
    assert await refused(rig) == (
        503,
        "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
    )
    assert (await rig.cancel(placed["orderID"]))["canceled"] == [placed["orderID"]]


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("order-timeout", 500, "order timed out"),
        ("match-delayed", 400, "order match delayed due to market conditions"),
        ("market-not-ready", 400, "the market is not yet ready to process new orders"),
        ("version-mismatch", 400, "order_version_mismatch"),
        ("key-refused", 401, "Unauthorized/Invalid api key"),
    ],
)
async def test_order_timeout_match_delayed_market_not_ready_version_mismatch_key_refused(
    rig: FaultRig, name: str, status: int, text: str
) -> None:
    rig.turn(name)
    order = rig.order()
    answer = await rig.request("POST", "/order", order)
    assert answer[:2] == (status, {"error": text})
    assert await open_ids(rig) == []
    assert (await rig.request("POST", "/order", order))[0] == 200


async def test_balance_cached(rig: FaultRig) -> None:
    path = "/balance-allowance?asset_type=COLLATERAL"
    rig.turn("balance-cached")
    assert (await rig.request("GET", path))[1]["balance"] == "0"
    assert await refused(rig) == (400, "not enough balance / allowance")
    updated = (await rig.request("GET", path.replace("?", "/update?")))[0]
    assert updated == 200
    assert int((await rig.request("GET", path))[1]["balance"]) > 0
    await rig.place()


async def test_cancel_missed(rig: FaultRig) -> None:
    for path, body in (
        ("/cancel-all", None),
        ("/cancel-market-orders", {"market": FAVOURITE, "asset_id": ""}),
    ):
        ids = [(await rig.place())["orderID"] for _ in range(3)]
        rig.turn("cancel-missed")
        answer = (await rig.request("DELETE", path, body))[1]
        assert answer == {"canceled": ids[:2], "not_canceled": {}}
        assert await open_ids(rig) == ids[2:]
        assert (await rig.request("DELETE", path, body))[1]["canceled"] == ids[2:]


async def test_cancel_raced(rig: FaultRig) -> None:
    user = await rig.user()
    market = rig.sim.control("markets", slug=f"race-{epoch_ms()}", frames_per_s=0)
    rig.tokens[market["market"]] = market["tokens"]
    body = rig.wallet.body(market["tokens"][0], Side.BUY, 10_000_000, 20_000_000, neg_risk=False)
    placed = (await rig.request("POST", "/order", body))[1]["orderID"]
    rig.turn("cancel-raced")
    answer = await rig.cancel(placed)
    assert answer == {"canceled": [placed], "not_canceled": {}}
    events = await rig.until(user, lambda f: f and f[-1].get("status") == "CONFIRMED")
    assert [e["type"] for e in events[:4]] == ["PLACEMENT", "UPDATE", "CANCELLATION", "TRADE"]
    cancelled, trade = events[2:4]
    assert (cancelled["size_matched"], cancelled["original_size"]) == ("10", "20")
    assert (trade["status"], trade["maker_orders"][0]["matched_amount"]) == ("MATCHED", "10")
    assert int(trade["timestamp"]) <= int(cancelled["timestamp"])


async def test_heartbeat_wrong(rig: FaultRig) -> None:
    # Of its own: the orders of a wallet that stops beating are cancelled ten seconds later.
    rig.wallet = HostileWallet(rig.sim, 3)
    first = (await rig.request("POST", "/v1/heartbeats", {"heartbeat_id": ""}))[1]
    rig.turn("heartbeat-wrong")
    status, answer, _ = await rig.request("POST", "/v1/heartbeats", first)
    assert status == 400
    assert answer["error"] == answer["error_msg"] == "Invalid Heartbeat ID"
    assert answer["heartbeat_id"] != first["heartbeat_id"]
    again = {"heartbeat_id": answer["heartbeat_id"]}
    assert (await rig.request("POST", "/v1/heartbeats", again))[0] == 200


async def test_hashes_late(rig: FaultRig) -> None:
    user = await rig.user()
    rig.turn("hashes-late")
    rig.turn("settle-late", 200)
    bought = await rig.buy()
    assert (bought["transactionsHashes"], len(bought["tradeIDs"])) == ([], 1)
    path = f"/data/trades?id={bought['tradeIDs'][0]}"
    assert (await rig.request("GET", path))[1]["data"][0]["transaction_hash"] == ""
    await rig.until(user, lambda found: found and found[-1].get("status") == "MINED")
    assert (await rig.request("GET", path))[1]["data"][0]["transaction_hash"].startswith("0x")


async def test_trade_failed(rig: FaultRig) -> None:
    user = await rig.user()
    rig.turn("trade-failed")
    for wanted in (["MATCHED", "RETRYING", "FAILED"], ["MATCHED", "MINED", "CONFIRMED"]):
        await rig.buy()
        events = await rig.until(
            user, lambda found: found and found[-1].get("status") in ("FAILED", "CONFIRMED")
        )
        assert [e["status"] for e in events if e["event_type"] == "trade"] == wanted
    assert rig.shown("trade-failed") == 1


async def test_trade_retried(rig: FaultRig) -> None:
    user = await rig.user()
    rig.turn("trade-retried")
    for second in ("RETRYING", "MINED"):
        await rig.buy()
        events = await rig.until(user, lambda f: f and f[-1].get("status") == "CONFIRMED")
        told = [e["status"] for e in events if e["event_type"] == "trade"]
        assert told == ["MATCHED", second, "CONFIRMED"]


async def test_settle_late(rig: FaultRig) -> None:
    user = await rig.user()
    rig.turn("settle-late", 300)
    began_ns = monotonic_ns()
    await rig.buy()
    await rig.until(user, lambda found: found and found[-1].get("status") == "MINED")
    assert monotonic_ns() - began_ns >= 350 * NS_PER_MS


async def test_clock_ahead(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("clock-ahead", 60_000)
    assert abs(rig.sim.get("/time") - 60 - epoch_ms() // 1000) <= 1
    await rig.place()
    (change,) = await rig.seen(socket)
    assert abs(int(change["timestamp"]) - 60_000 - epoch_ms()) < 1_000
    rig.turn("clock-ahead", 0)
    assert abs(rig.sim.get("/time") - epoch_ms() // 1000) <= 1


# -- the switchboard ---------------------------------------------------------------------


async def test_switch_can_be_scheduled_limited_and_cleared(rig: FaultRig) -> None:
    began_ns = monotonic_ns()
    rig.turn("cancel-only", at_s=0.4, for_s=0.3)
    statuses = []
    for _ in itertools.count():
        statuses.append((await refused(rig))[0])
        if 503 in statuses and statuses[-1] == 200:
            break
    assert statuses[0] == 200
    assert monotonic_ns() - began_ns >= 680 * NS_PER_MS
    rig.turn("trading-disabled")
    assert rig.sim.control("faults", clear=True)["on"] == {}
    assert (await refused(rig))[0] == 200
    for wrong in (
        {"switch": "no-such"},
        {"switch": "market-silent", "market": "0x0"},
        {"switch": "market-silent", "value": "many"},
        {"switch": "market-silent", "value": "nan"},
        {"switch": "restart", "value": 1e300},
        {"switch": "restart", "at_s": -1},
        {"switch": "restart", "for_s": "inf"},
        {"path": "/x", "no": 1},
    ):
        assert rig.sim.post("/sim/faults", wrong)[0] == 400


def test_switches_can_be_set_at_the_start(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with running("--fault", "book-hollow/3@0+60", "--fault", "clock-ahead=90000",
                 "--limits", "warn", "--log", str(log)) as sim:  # fmt: skip
        state = sim.control("faults")
        assert state["on"] == {"book-hollow": 1, "clock-ahead": 90_000}
        assert state["markets"] == {"book-hollow": FAVOURITE}
        assert sim.control("limits")["mode"] == "warn"
        assert sim.get("/time") - epoch_ms() // 1000 >= 89
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["name"] for e in lines if e["event"] == "fault"] == ["book-hollow", "clock-ahead"]


def test_every_switch_is_turned_by_a_test() -> None:
    here = Path(__file__).parent
    texts = "".join(path.read_text() for path in here.glob("test_sim_*.py"))
    assert [s.name for s in SWITCHES if f'"{s.name}"' not in texts] == []
