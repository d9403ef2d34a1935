"""Hostile WebSockets against a real exchange: it lives, counts no error, and serves the rest."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from oracle.sim_process import PATIENCE_S, SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet, read_answer

CHANNELS = ("market", "user")
DEEP = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[SimProcess]:
    with running("--rate", "0", "--edge-every", "0") as sim:
        yield sim


@pytest.fixture
async def session(server: SimProcess) -> AsyncIterator[aiohttp.ClientSession]:
    """A session; whatever the test did, the server lives, counts no error, serves a book."""
    async with aiohttp.ClientSession() as opened:
        yield opened
        link = await opened.ws_connect(server.ready["ws_market_url"])
        await link.send_str(json.dumps({"assets_ids": tokens(server), "type": "market"}))
        books = json.loads((await link.receive(timeout=PATIENCE_S)).data)
        assert [book["asset_id"] for book in books] == tokens(server)
        await link.close()
    assert server.get("/sim/state")["server_errors"] == 0
    assert server.get("/sim/check") == {"ok": True}
    assert server.process.poll() is None


def tokens(server: SimProcess) -> list[str]:
    return [side["t"] for side in server.get(f"/clob-markets/{FAVOURITE}")["t"]]


async def drained(link: Any) -> list[Any]:
    """Everything up to the answer to a PING, or to the end of the connection."""
    await link.send_str("PING")
    found = []
    while True:
        message = await link.receive(timeout=PATIENCE_S)
        found.append(message)
        if message.type != aiohttp.WSMsgType.TEXT or message.data == "PONG":
            return found


TEXTS = [
    "", " ", "ping", "{", "[]", "null", "NaN", '"x"', "1" * 5_000, "[" * DEEP, '{"a":' * DEEP,
    '{"assets_ids":1}', '{"assets_ids":{}}', '{"assets_ids":[null,1,[],{},"\\ud800"]}',
    '{"assets_ids":[' + "1," * 50_000 + "1]}", '{"operation":[]}', '{"operation":{"a":1}}',
    '{"operation":"unsubscribe","assets_ids":["1",2,null]}', '{"operation":"burn"}',
    '{"assets_ids":[],"level":"x","initial_dump":[],"custom_feature_enabled":"yes"}',
    '{"type":"user","auth":[]}', '{"type":"market","markets":[[]]}', '{"markets":{}}',
    '{"operation":"subscribe","markets":["\\ud800"]}', "\x00", "\u20ac" * 1_000,
]  # fmt: skip


async def test_unreadable_market_texts_leave_the_socket_open(
    server: SimProcess, session: aiohttp.ClientSession
) -> None:
    link = await session.ws_connect(server.ready["ws_market_url"], autoping=True)
    for text in TEXTS:
        await link.send_str(text)
        assert (await drained(link))[-1].data == "PONG", text[:40]
    await link.close()


AUTHS: list[Any] = [
    None, [], "x", {}, {"apiKey": 1}, {"apiKey": []}, {"apiKey": "\ud800"}, {"apiKey": "x"},
    {"apiKey": None, "secret": None, "passphrase": None}, {"apiKey": "9" * 100_000},
]  # fmt: skip


async def test_bad_user_logins_end_the_socket_and_nothing_else(
    server: SimProcess, session: aiohttp.ClientSession
) -> None:
    key = HostileWallet(server).credentials
    good = {"apiKey": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
    spoiled = [{**good, name: bad} for name in good for bad in (None, 1, [], "\ud800", "x")]
    for auth in (*AUTHS, *spoiled):
        link = await session.ws_connect(server.ready["ws_user_url"])
        await link.send_str(json.dumps({"type": "user", "auth": auth}))
        kind = (await link.receive(timeout=PATIENCE_S)).type
        assert kind in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), auth
        await link.close()
    for text in TEXTS:
        link = await session.ws_connect(server.ready["ws_user_url"])
        await link.send_str(text)
        await drained(link)
        await link.close()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_binary_and_giant_frames(
    server: SimProcess, session: aiohttp.ClientSession, channel: str
) -> None:
    url = server.ready[f"ws_{channel}_url"]
    link = await session.ws_connect(url)
    for payload in (b"", b"\x00", b"PING", b"\xff" * 60_000, os.urandom(1_000)):
        await link.send_bytes(payload)
    assert (await drained(link))[-1].data == "PONG"
    await link.close()
    giant = await session.ws_connect(url)
    try:
        await giant.send_str("x" * (3 << 20))
        closed = (await giant.receive(timeout=PATIENCE_S)).type
        assert closed in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
        )
    except ConnectionError:
        pass  # cut off before all of it was sent, which is as good
    await giant.close()


def upgraded(server: SimProcess, channel: str) -> socket.socket:
    wallet = HostileWallet(server)
    link = wallet.connect()
    link.sendall(
        f"GET /ws/{channel} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b" 101 " in read_answer(link)
    return link


@pytest.mark.parametrize("channel", CHANNELS)
def test_frames_that_break_the_protocol(
    server: SimProcess, session: aiohttp.ClientSession, channel: str
) -> None:
    seed = 20261123
    print(f"seed {seed}")
    rng = random.Random(seed)
    broken = [
        b"\x81\x01x", b"\xf1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x80\x80\0\0\0\0",
        b"\x89\xfe\x01\x00\0\0\0\0", b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",
        b"\x81\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0x", b"\x81\x82\0\0\0\0\xff\xfe",
        b"\x88\x81\0\0\0\0x", b"\x88\x82\0\0\0\0\x00\x01", b"\x88\x84\0\0\0\0\x03\xe8\xff\xff",
        b"\x01\x81\0\0\0\0a" * 2, b"\x01\x81\0\0\0\0a" + b"\x89\x80\0\0\0\0" * 100,
        *(rng.randbytes(rng.randrange(1, 400)) for _ in range(60)),
        *(b"\x81" + rng.randbytes(rng.randrange(1, 40)) for _ in range(60)),
    ]  # fmt: skip
    for data in broken:
        with upgraded(server, channel) as link:
            link.sendall(data)
            if rng.random() < 0.5:
                link.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "head",
    ["", "Upgrade: websocket\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n",
     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99\r\n",
     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: short\r\n"],
)  # fmt: skip
def test_upgrades_that_are_none(
    server: SimProcess, session: aiohttp.ClientSession, head: str
) -> None:
    for channel in CHANNELS:
        answer = HostileWallet(server).raw(
            f"GET /ws/{channel} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()
        )
        assert answer.split()[1][:1] == b"4"


async def test_a_reader_that_stops_reading_is_cut_off_and_forgotten(
    session: aiohttp.ClientSession,
) -> None:
    with running("--rate", "0", "--edge-every", "0") as sim:
        link = upgraded(sim, "market")
        for _ in range(60):
            sim.control("frame", text="x", repeat=1 << 20)
            if not sim.get("/sim/state")["sockets"]["market"]:
                break
        else:
            pytest.fail("60 MB are held back for a reader that does not read")
        link.close()
        assert sim.get("/sim/state")["server_errors"] == 0


async def test_five_hundred_sockets_come_and_go(
    server: SimProcess, session: aiohttp.ClientSession
) -> None:
    subscribe = json.dumps({"assets_ids": tokens(server), "type": "market"})

    async def visit(number: int) -> None:
        link = await session.ws_connect(server.ready["ws_market_url"])
        await link.send_str(subscribe)
        await link.receive(timeout=PATIENCE_S)
        if number % 2:
            await link.close()
        else:
            link._response.close()  # torn, without a closing handshake

    for first in range(0, 500, 50):
        await asyncio.gather(*(visit(first + number) for number in range(50)))
    async with asyncio.timeout(PATIENCE_S):
        while server.get("/sim/state")["sockets"] != {"market": 0, "user": 0}:
            await asyncio.sleep(0.01)
