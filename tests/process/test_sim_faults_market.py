"""Every fault switch of the market channel shows on the wire, and ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from oracle.fault_rig import FaultRig, fault_rig
from oracle.sim_process import PATIENCE_S, SimProcess
from oracle.sim_wallet import FAVOURITE
from overround.clock import NS_PER_MS, monotonic_ns

CLOSED = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)


@pytest.fixture
async def rig(fault_sim: SimProcess) -> AsyncIterator[FaultRig]:
    async with fault_rig(fault_sim) as made:
        yield made


def changes(events: list[Any]) -> list[Any]:
    return [e for e in events if isinstance(e, dict) and e["event_type"] == "price_change"]


async def test_market_silent(rig: FaultRig) -> None:
    socket = await rig.watched(FAVOURITE, rig.other)
    rig.turn("market-silent")
    await rig.place()
    await rig.place(0.002, 600, market=rig.other)
    assert await rig.seen(socket) == []  # but PING was answered
    assert rig.shown("market-silent") >= 2
    rig.turn("market-silent", 0)
    await rig.place()
    assert len(changes(await rig.seen(socket))) == 1


async def test_asset_stalled(rig: FaultRig) -> None:
    socket = await rig.watched(FAVOURITE, rig.other)
    for chosen in (FAVOURITE, ""):
        rig.turn("asset-stalled", market=chosen)
        await rig.place()
        await rig.place(0.002, 600, market=rig.other)
        await rig.place()
        heard = changes(await rig.seen(socket))
        assert [event["market"] for event in heard] == [rig.other]
        rig.turn("asset-stalled", 0)


async def test_pong_missing(rig: FaultRig) -> None:
    market, user = await rig.watched(), await rig.user()
    rig.turn("pong-missing")
    for channel, socket in (("market", market), ("user", user)):
        before = rig.shown("pong-missing")
        await socket.send_str("PING")
        while rig.shown("pong-missing") == before:
            pass  # each look is a request
        rig.sim.control("frame", channel=channel, text='{"mark":1}')
        assert (await socket.receive(timeout=PATIENCE_S)).data == '{"mark":1}'
    rig.turn("pong-missing", 0)
    assert await rig.seen(market) == await rig.seen(user) == []


async def test_delta_dropped(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("delta-dropped", 2, market=FAVOURITE)
    for price in (0.9, 0.901, 0.902):
        await rig.place(price)
    heard = changes(await rig.seen(socket))
    assert [sorted(e["price"] for e in one["price_changes"]) for one in heard] == [
        ["0.098", "0.902"]
    ]


async def test_delta_swapped(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("delta-swapped")
    await rig.place()
    first, second = changes(await rig.seen(socket))
    assert second["price_changes"] == first["price_changes"][::-1]
    assert {**first, "price_changes": 0} == {**second, "price_changes": 0}


async def test_hash_wrong(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("hash-wrong")
    for is_true in (False, True):
        await rig.place()
        (change,) = changes(await rig.seen(socket))
        for entry in change["price_changes"]:
            book = rig.sim.get(f"/book?token_id={entry['asset_id']}")
            assert (book["hash"] == entry["hash"]) is is_true


async def test_bbo_wrong(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("bbo-wrong")
    for best in ({"0.0001"}, {"0.98", "0.019"}):
        await rig.place()
        (change,) = changes(await rig.seen(socket))
        assert {entry["best_bid"] for entry in change["price_changes"]} == best


async def test_print_dropped(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("print-dropped")
    await rig.buy()
    second = await rig.buy()
    events = await rig.until(socket, lambda f: f and f[-1]["event_type"] == "last_trade_price")
    assert [events[-1]["transaction_hash"]] == second["transactionsHashes"]


async def test_snapshot_doubled(rig: FaultRig) -> None:
    rig.turn("snapshot-doubled")
    first, second = await rig.seen(await rig.market())
    assert first == second
    assert len(await rig.seen(await rig.market())) == 1


async def test_snapshot_missing(rig: FaultRig) -> None:
    rig.turn("snapshot-missing")
    socket = await rig.market()
    assert await rig.seen(socket) == []
    await rig.place()
    assert len(changes(await rig.seen(socket))) == 1


async def test_tokens_ceiling(rig: FaultRig) -> None:
    for most in (3, 0):
        rig.turn("tokens-ceiling", most)
        (opening,) = await rig.seen(await rig.market(FAVOURITE, rig.other))
        assert len(opening) == (most or 4)


async def test_snapshot_raced(rig: FaultRig) -> None:
    rig.turn("snapshot-raced")
    socket = await rig.watched()
    await rig.place(0.9)
    await rig.place(0.901)
    (heard,) = changes(await rig.seen(socket))
    assert {"0.901"} < {entry["price"] for entry in heard["price_changes"]}


async def test_snapshot_bare(rig: FaultRig) -> None:
    rig.turn("snapshot-bare")
    ((bare, _),) = await rig.seen(await rig.market())
    ((full, _),) = await rig.seen(await rig.market())
    assert full.keys() - bare.keys() == {"tick_size", "last_trade_price"}


async def test_line_blank(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("line-blank")
    await rig.place()
    await rig.place()
    first, blank, last = await rig.texts(socket)
    assert blank == "\n"
    assert json.loads(first)["event_type"] == json.loads(last)["event_type"]


async def test_frame_torn(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("frame-torn")
    await rig.place()
    await rig.place()
    torn, whole = await rig.texts(socket)
    with pytest.raises(ValueError, match=r"."):
        json.loads(torn)
    assert json.loads(whole)["event_type"] == "price_change"


async def test_leg_stale(rig: FaultRig) -> None:
    socket = await rig.watched(FAVOURITE, rig.other)
    for chosen in (FAVOURITE, ""):
        rig.turn("leg-stale", 400, market=chosen)
        began_ns = monotonic_ns()
        for _ in range(2):
            await rig.place()
        await rig.place(0.002, 600, market=rig.other)
        heard = await rig.until(socket, lambda found: len(found) == 3)
        assert [event["market"] for event in heard] == [rig.other, FAVOURITE, FAVOURITE]
        assert monotonic_ns() - began_ns >= 400 * NS_PER_MS
        rig.turn("leg-stale", 0)


async def test_frames_stalled(rig: FaultRig) -> None:
    socket = await rig.watched()
    rig.turn("frames-stalled", 250)
    began_ns = monotonic_ns()
    for _ in range(3):
        await rig.place()
    await rig.until(socket, len)
    assert monotonic_ns() - began_ns >= 250 * NS_PER_MS
    assert len(await rig.until(socket, lambda found: len(found) == 2)) == 2


async def test_market_cut(rig: FaultRig) -> None:
    market, user = await rig.watched(), await rig.user()
    rig.turn("market-cut")
    assert (await market.receive(timeout=PATIENCE_S)).type in CLOSED
    assert await rig.seen(user) == []
    assert rig.sim.control("faults")["on"] == {}


async def test_sockets_refused(rig: FaultRig) -> None:
    rig.turn("sockets-refused")
    for connect in (rig.market, rig.user):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect()
        assert refused.value.status == 503
    rig.turn("sockets-refused", 0)
    await rig.watched()


async def test_side_empty(rig: FaultRig) -> None:
    market = rig.sim.control("markets", slug="one-sided", frames_per_s=0)
    condition = market["market"]
    rig.tokens[condition] = market["tokens"]
    socket = await rig.watched(condition)
    rig.turn("side-empty", market=condition)
    last = changes(await rig.seen(socket))[-1]["price_changes"]
    assert {(entry["best_bid"], entry["best_ask"]) for entry in last} == {
        ("0.48", "1"), ("0", "0.52"),
    }  # fmt: skip
    path = f"/book?token_id={market['tokens'][0]}"
    book = rig.sim.get(path)
    assert (len(book["bids"]), book["asks"]) == (3, [])
    rig.turn("side-empty", 0)
    assert [level["price"] for level in rig.sim.get(path)["asks"]] == ["0.54", "0.53", "0.52"]


async def test_tick_changed(rig: FaultRig) -> None:
    socket = await rig.watched()
    for on, tick in ((1, "0.0001"), (0, "0.001")):
        rig.turn("tick-changed", on, market=FAVOURITE)
        events = await rig.seen(socket)
        ticks = [e for e in events if e["event_type"] == "tick_size_change"]
        assert [event["new_tick_size"] for event in ticks] == [tick, tick]
        asked = rig.sim.get(f"/tick-size?token_id={rig.tokens[FAVOURITE][0]}")
        assert asked == {"minimum_tick_size": float(tick)}
