"""The user socket's life: when it is believed, when it is dead, how soon it is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import aiohttp
from aiohttp import web

from oracle.http_server import Told, until
from overround.config.schema import Ingress
from overround.execute.trust import ChannelTrust, Standing
from overround.execute.user_stream import UserStream
from overround.venues.polymarket.auth import Credentials

MINE = Credentials("mine", "c2VjcmV0", "ff")
Script = Callable[[web.WebSocketResponse, int], Awaitable[None]]


class Line:
    """A stream to a venue that plays a script on each connection."""

    def __init__(self, script: Script, settings: Ingress) -> None:
        self.script = script
        self.logins: list[str] = []
        self.pings = 0
        self.told = Told()
        self.now = 0
        self.compared = 0
        self.trust = ChannelTrust(self.told, self.clock)
        self.settings = settings
        self.key = MINE
        self.stream: UserStream

    def clock(self) -> int:
        self.now += 1
        return self.now

    def connected(self) -> None:
        self.compared += 1

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.logins.append(await socket.receive_str())
        await self.script(socket, len(self.logins))
        return socket

    @property
    def delays(self) -> list[object]:
        """What was said of each loss."""
        lost = (values for event, values in self.told.lines if event == "user channel lost")
        return [values["again_ms_at_most"] for values in lost]


@asynccontextmanager
async def stream_to(script: Script, **settings: int) -> AsyncIterator[Line]:
    line = Line(script, Ingress(**settings))
    app = web.Application()
    app.router.add_get("/ws/user", line.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stream = line.stream = UserStream(
        f"ws://{host}:{port}/ws/user", line.settings, line.told, random=Random(1),
        on_events=lambda _: None, on_connected=line.connected, trust=line.trust,
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(stream.run(session, lambda: line.key))
        try:
            yield line
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await runner.cleanup()


async def pongs(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.data == "PING":
            await socket.send_str("PONG")


async def test_a_venue_that_hangs_up_after_each_login_is_asked_ever_more_slowly() -> None:
    async def hang_up(socket: web.WebSocketResponse, number: int) -> None:
        if number % 2:  # with or without a word
            await socket.send_str("PONG")

    async with stream_to(hang_up, reconnect_delay_ms=20, reconnect_delay_max_ms=160) as line:
        await until(lambda: len(line.delays) >= 5)
    assert line.delays[:5] == [20, 40, 80, 160, 160]


async def test_the_delay_begins_anew_after_a_connection_that_lasted() -> None:
    async def script(socket: web.WebSocketResponse, number: int) -> None:
        if number == 4:
            await socket.send_str("PONG")
            await asyncio.sleep(0.3)

    async with stream_to(script, reconnect_delay_ms=1, reconnect_delay_max_ms=100) as line:
        await until(lambda: len(line.delays) >= 5)
    assert line.delays[:5] == [1, 2, 4, 1, 2]


async def test_a_venue_that_answers_no_ping_is_dead() -> None:
    hush = asyncio.Event()

    async def script(socket: web.WebSocketResponse, _: int) -> None:
        await socket.send_str("PONG")
        await hush.wait()

    times = {"ping_interval_ms": 20, "pong_timeout_ms": 100, "reconnect_delay_ms": 1}
    async with stream_to(script, **times) as line:
        await until(lambda: line.trust.standing is Standing.CONNECTED)
        await until(lambda: len(line.logins) >= 3)
        assert {v.get("reason") for _, v in line.told.lines} == {"silent for 100 ms"}
        assert line.compared >= 2  # each connection asks for what it may have missed
        hush.set()


async def test_a_renewed_login_names_the_key_of_that_moment() -> None:
    async def script(socket: web.WebSocketResponse, _: int) -> None:
        await pongs(socket)

    async with stream_to(script, reconnect_delay_ms=1) as line:
        await until(lambda: line.trust.standing is Standing.CONNECTED)
        line.key = Credentials("another", "c2VjcmV0", "ff")
        await line.stream.renew()
        await until(lambda: len(line.logins) >= 2)
        await until(lambda: line.compared >= 2)
    assert ["mine" in line.logins[0], "another" in line.logins[1]] == [True, True]


async def test_pings_are_sent_while_the_venue_talks() -> None:
    async def script(socket: web.WebSocketResponse, _: int) -> None:
        async def talk() -> None:
            while True:
                await socket.send_str("[]")
                await asyncio.sleep(0.002)

        talking = asyncio.create_task(talk())
        try:
            async for message in socket:
                line.pings += message.data == "PING"
        finally:
            talking.cancel()

    async with stream_to(script, ping_interval_ms=20) as line:
        await until(lambda: line.pings >= 4)  # the first belongs to the login
    assert len(line.logins) == 1


async def test_an_upgrade_that_is_never_answered_is_given_up() -> None:
    asked: list[bytes] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told = Told()
    stream = UserStream(
        f"ws://127.0.0.1:{port}/ws/user", Ingress(pong_timeout_ms=50, reconnect_delay_ms=1), told,
        random=Random(1), on_events=lambda _: None, on_connected=lambda: None,
        trust=ChannelTrust(told, lambda: 0),
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(stream.run(session, lambda: MINE))
        await until(lambda: len(asked) >= 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    server.close()
