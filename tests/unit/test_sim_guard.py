"""The outer wall: what is unforeseen is counted and answered, what crawls is cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from overround.clock import monotonic_ns
from overround.sim.edges import EdgeSettings
from overround.sim.flow import FlowSettings
from overround.sim.guard import Guard
from overround.sim.payload import plain_count, read_json
from overround.sim.server import Server, ServerSettings


class Broken:
    """An application whose handlers fail in every way, behind a guard."""

    def __init__(self) -> None:
        self.guard = Guard(body_seconds=0.2)
        self.port = 0

    async def fail(self, request: web.Request) -> web.StreamResponse:
        raise ZeroDivisionError(request.path)

    async def forbid(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPForbidden

    async def move(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/elsewhere")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        raise ZeroDivisionError(request.path)


@pytest.fixture
async def broken() -> AsyncIterator[Broken]:
    one = Broken()
    one.guard.watch(asyncio.get_running_loop())
    application = web.Application(middlewares=[one.guard.middleware()], client_max_size=1_000)
    application.router.add_route("*", "/fail", one.fail)
    application.router.add_get("/forbid", one.forbid)
    application.router.add_get("/move", one.move)
    application.router.add_get("/ws/market", one.socket)
    runner = web.AppRunner(
        application, access_log=None, logger=one.guard.logger, lingering_time=0.1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.port = runner.addresses[0][1]
    yield one
    await runner.cleanup()


async def talk(port: int, *parts: bytes) -> bytes:
    """Send the parts and return what comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    async with asyncio.timeout(30):
        got = await reader.read()
    writer.close()
    return got


async def test_unforeseen_errors_are_counted_logged_and_answered(
    broken: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{broken.port}") as session:
        async with session.get("/fail") as answer:
            assert (answer.status, await answer.json()) == (500, {"error": "internal error"})
        assert broken.guard.server_errors == 1
        assert "unforeseen error in GET /fail" in caplog.text
        async with session.get("/forbid") as answer:
            assert (answer.status, await answer.json()) == (403, {"error": "Forbidden"})
        async with session.get("/move", allow_redirects=False) as answer:
            assert answer.status == 302
        async with session.post("/fail", data=b"x" * 2_000) as answer:
            assert (answer.status, (await answer.json())["error"]) == (
                413, "Request Entity Too Large",
            )  # fmt: skip
        socket = await session.ws_connect("/ws/market")
        kind = (await socket.receive(timeout=30)).type
        assert kind in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert broken.guard.server_errors == 2


async def test_failed_timers_count_and_lost_connections_do_not(
    broken: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Exception) -> None:
        raise error

    loop = asyncio.get_running_loop()
    loop.call_soon(fail, ConnectionResetError())
    loop.call_soon(fail, ZeroDivisionError())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert broken.guard.server_errors == 1
    assert "ZeroDivisionError" in caplog.text


async def test_bodies_that_crawl_or_break_off_are_ended(broken: Broken) -> None:
    head = b"POST /fail HTTP/1.1\r\nHost: x\r\n"
    slow = await talk(broken.port, head + b"Content-Length: 9\r\n\r\n", b"x")
    assert b" 408 " in slow
    assert json.loads(slow.partition(b"\r\n\r\n")[2]) == {"error": "Request Timeout"}
    chunked = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 400 " in await talk(broken.port, head + chunked, b"2\r\n[]\r\nZZ\r\n")
    squeezed = b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    assert b" 400 " in await talk(broken.port, head + squeezed)
    assert broken.guard.server_errors == 0


async def test_connections_without_a_whole_request_are_closed() -> None:
    still = FlowSettings(rate=0, edges=EdgeSettings(every_s=0))
    server = Server(ServerSettings(flow=still, accounts=0, idle_seconds=0.3))
    await server.start()
    began_ns = monotonic_ns()
    try:
        closed = await asyncio.gather(
            talk(server.port),
            talk(server.port, b"GET /ok HT"),
            talk(server.port, b"GET /ok HTTP/1.1\r\n", b"X: y\r\n"),
        )
        assert closed == [b"", b"", b""]
        assert monotonic_ns() - began_ns > 250_000_000
        answered = await talk(server.port, b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answered.endswith(b'"OK"')
    finally:
        await server.stop()
    assert server.guard.server_errors == 0


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"\xff", b"{", "[" * 100_000, "9" * 5_000, ""])
def test_unreadable_json_is_one_error(raw: bytes | str) -> None:
    with pytest.raises(ValueError):
        read_json(raw)


def test_counts_are_plain_digits_of_reasonable_length() -> None:
    assert [plain_count(text) for text in ("0", "007", "9" * 18)] == [0, 7, 10**18 - 1]
    for text in ("", "-1", "+1", " 1", "1_0", "\u00b2", "\u0661", "9" * 19, "1e3"):
        assert plain_count(text) is None
