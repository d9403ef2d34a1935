"""Every fault switch of the user channel shows on the wire, and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from oracle.fault_rig import FaultRig, fault_rig
from oracle.sim_process import PATIENCE_S, SimProcess
from overround.clock import NS_PER_MS, monotonic_ns
from overround.match.types import OrderType

CLOSED = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)


@pytest.fixture
async def rig(fault_sim: SimProcess) -> AsyncIterator[FaultRig]:
    async with fault_rig(fault_sim) as made:
        yield made


def is_settled(found: list[Any]) -> bool:
    return bool(found) and found[-1].get("status") == "CONFIRMED"


def trades(events: list[Any]) -> list[Any]:
    return [event for event in events if event["event_type"] == "trade"]


async def test_user_silent(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("user-silent")
    await rig.place()
    assert await rig.seen(socket) == []  # but PING was answered
    rig.turn("user-silent", 0)
    await rig.place()
    assert [event["type"] for event in await rig.seen(socket)] == ["PLACEMENT"]


async def test_user_cut(rig: FaultRig) -> None:
    market, user = await rig.watched(), await rig.user()
    rig.turn("user-cut")
    assert (await user.receive(timeout=PATIENCE_S)).type in CLOSED
    assert await rig.seen(market) == []


async def test_trade_missing(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("trade-missing", 2)
    bought = await rig.buy()
    events = await rig.until(socket, is_settled)
    assert [event["status"] for event in trades(events)] == ["CONFIRMED"]
    listed = (await rig.request("GET", "/data/trades"))[1]["data"]
    assert bought["tradeIDs"][0] in {trade["id"] for trade in listed}


async def test_order_missing(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("order-missing")
    placed = await rig.place()
    await rig.cancel(placed["orderID"])
    assert [event["type"] for event in await rig.seen(socket)] == ["CANCELLATION"]


async def test_event_doubled(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("event-doubled", 5)
    await rig.buy()
    events = await rig.until(socket, lambda found: len(found) == 10)
    assert events[::2] == events[1::2]
    assert [event["status"] for event in trades(events)[::2]] == ["MATCHED", "MINED", "CONFIRMED"]


async def test_events_swapped(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("events-swapped")
    placed = await rig.place()
    assert await rig.seen(socket) == []
    await rig.cancel(placed["orderID"])
    kinds = [event["type"] for event in await rig.seen(socket)]
    assert kinds == ["CANCELLATION", "PLACEMENT"]
    rig.turn("events-swapped")
    await rig.place()  # without a successor it comes by itself
    assert [event["type"] for event in await rig.until(socket, len)] == ["PLACEMENT"]


async def test_events_late(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("events-late", 200)
    began_ns = monotonic_ns()
    placed = await rig.place()
    await rig.cancel(placed["orderID"])
    events = await rig.until(socket, lambda found: len(found) == 2)
    assert monotonic_ns() - began_ns >= 200 * NS_PER_MS
    assert [event["type"] for event in events] == ["PLACEMENT", "CANCELLATION"]


async def test_fok_empty(rig: FaultRig) -> None:
    socket = await rig.user()
    order = rig.order(0.97, 10, OrderType.FOK)
    for on, told in ((0, 0), (1, 1)):
        rig.turn("fok-empty", on)
        status, answer, _ = await rig.request("POST", "/order", order)
        assert (status, "fully filled or killed" in answer["error"]) == (400, True)
        events = await rig.seen(socket)
        assert len(events) == told
    (event,) = events
    assert (event["type"], event["status"], event["order_type"]) == (
        "CANCELLATION", "CANCELED", "FOK",
    )  # fmt: skip
    assert {event[key] for key in ("size_matched", "created_at", "outcome")} == {""}


async def test_status_text(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("status-text")
    for _ in range(2):
        await rig.cancel((await rig.place())["orderID"])
    told = [e["status"] for e in await rig.seen(socket) if e["type"] == "CANCELLATION"]
    assert told == ["CANCELED_maker balance changed: 12.5 < 20", "CANCELED"]


async def test_time_iso(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("time-iso")
    await rig.buy()
    trade = trades(await rig.until(socket, is_settled))[0]
    for key in ("match_time", "last_update"):
        moment = datetime.fromisoformat(trade[key])
        assert abs(moment.timestamp() - int(trade["timestamp"]) / 1000) < 2


async def test_time_renamed(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("time-renamed")
    await rig.buy()
    trade = trades(await rig.until(socket, is_settled))[0]
    assert "match_time" not in trade
    assert trade["matchtime"].isdigit()


async def test_time_seconds(rig: FaultRig) -> None:
    socket = await rig.user()
    await rig.place()
    rig.turn("time-seconds")
    await rig.place()
    ours, older = await rig.seen(socket)
    assert abs(int(older["timestamp"]) - int(ours["timestamp"]) // 1000) <= 2


async def test_index_text(rig: FaultRig) -> None:
    socket = await rig.user()
    rig.turn("index-text")
    await rig.buy()
    trade = trades(await rig.until(socket, is_settled))[0]
    assert trade["bucket_index"] == "0"
    assert {maker["outcome_index"] for maker in trade["maker_orders"]} <= {"0", "1"}
