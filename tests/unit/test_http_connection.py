"""A connection gives exactly one whole answer to each request, or says that there is none."""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest

from oracle.http_server import (
    CUT,
    HANG,
    ScriptedServer,
    Told,
    answer,
    ask,
    on_uvloop,
    pool_to,
    until,
)
from overround.clock import epoch_s, monotonic_ns
from overround.errors import OrderError
from overround.execute.http import connection as module
from overround.execute.http.answer import Kind, NoAnswer, NotSent
from overround.execute.http.dial import Origin
from overround.execute.http.head import RequestEncoder
from overround.execute.http.pool import Pool, PoolLimits
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.rest import Request

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
)


@on_uvloop
async def test_answers_are_read_in_every_usual_frame() -> None:
    said = [
        answer(200, b"plain"),
        CHUNKED,
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(201, b"after an interim one"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        answer(429, b"", "retry-after: 3"),
    ]
    server = ScriptedServer(lambda _, number: said[number - 1])
    await server.start()
    async with pool_to(server) as pool:
        found = [tuple(await ask(pool)) for _ in said]
    await server.stop()
    assert found == [
        (200, b"plain", ""),
        (200, b"abcde", "7"),
        (201, b"after an interim one", ""),
        (204, b"", ""),
        (429, b"", "3"),
    ]


@on_uvloop
async def test_a_body_in_many_pieces_is_put_together() -> None:
    body = bytes(range(256)) * 2_000
    server = ScriptedServer(lambda *_: answer(200, body))
    await server.start()
    async with pool_to(server) as pool:
        assert (await ask(pool)).body == body
    await server.stop()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (CUT, "closed by the venue"),
        (b"HTTP/1.1 200 OK\r\nContent-Le" + CUT, "closed by the venue"),
        (answer(200, b"1234567")[:-3] + CUT, "closed by the venue"),
        (CHUNKED[:-7] + CUT, "closed by the venue"),
        (b"HTTP/1.1 200 OK\r\n\r\nno length" + CUT, "closed by the venue"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "no HTTP"),
    ],
)
@on_uvloop
async def test_an_answer_that_is_not_whole_is_no_answer(said: bytes, why: str) -> None:
    server = ScriptedServer(lambda _, number: said if number == 1 else answer())
    await server.start()
    async with pool_to(server) as pool:
        with pytest.raises(NoAnswer, match=why):
            await ask(pool)
        assert (await ask(pool)).status == 200  # the next request has another connection
    await server.stop()


@on_uvloop
async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 10_000)
    server = ScriptedServer(lambda *_: answer(200, bytes(100_000)))
    await server.start()
    async with pool_to(server) as pool:
        with pytest.raises(NoAnswer, match="longer than 10000 bytes"):
            await ask(pool)
    await server.stop()


@pytest.mark.parametrize("lines", [("Connection: close",), ()])
@on_uvloop
async def test_a_connection_is_used_again_unless_the_venue_says_close(lines: tuple[str]) -> None:
    server = ScriptedServer(lambda *_: answer(200, b"{}", *lines))
    await server.start()
    async with pool_to(server) as pool:
        await until(lambda: pool.counts["idle"] == 3)
        for _ in range(9):
            assert (await ask(pool)).status == 200
        assert (server.connections > 3) == bool(lines)
    await server.stop()


@on_uvloop
async def test_bytes_behind_an_answer_end_the_connection() -> None:
    server = ScriptedServer(lambda *_: answer(200, b"first") + answer(200, b"nobody asked"))
    await server.start()
    async with pool_to(server) as pool:
        await until(lambda: pool.counts["idle"] == 3)
        for _ in range(4):
            assert (await ask(pool)).body == b"first"
        await until(lambda: server.connections >= 7)
    await server.stop()


@on_uvloop
async def test_a_deadline_ends_the_request_and_its_connection() -> None:
    server = ScriptedServer(lambda _, number: HANG if number == 1 else answer())
    await server.start()
    async with pool_to(server) as pool:
        with pytest.raises(NoAnswer, match="deadline"):
            await ask(pool, within_ms=50)
        await until(lambda: server.connections >= 4)
        assert (await ask(pool)).status == 200
    await server.stop()


@on_uvloop
async def test_a_request_given_up_ends_its_connection() -> None:
    server = ScriptedServer(lambda *_: HANG)
    await server.start()
    async with pool_to(server) as pool:
        task = asyncio.create_task(ask(pool))
        await until(lambda: len(server.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.connections >= 4)
        assert pool.counts["query"] == 0
    await server.stop()


@on_uvloop
async def test_no_byte_is_written_to_a_connection_that_is_closing() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server) as pool:
        connection = await pool.wait(Kind.ORDER, monotonic_ns() + 10**10)
        connection.end("for the test")
        with pytest.raises(NotSent, match="just been closed"):
            connection.send(Request("POST", "/order"), monotonic_ns() + 10**10)
        await until(lambda: pool.counts["order"] == 0)
    assert server.requests == []
    await server.stop()


@on_uvloop
async def test_a_request_that_cannot_be_written_gives_its_connection_back() -> None:
    server = ScriptedServer(lambda *_: answer(200))
    await server.start()
    origin = Origin("127.0.0.1", server.port, tls=False)
    encode = RequestEncoder(origin, Signer("0x" + "11" * 32), chain_id=137, epoch_s=epoch_s)
    pool = Pool(
        origin, encode, Told(), limits=PoolLimits(3), clock=monotonic_ns, random=Random(1)
    )  # fmt: skip
    connection = await pool.wait(Kind.QUERY, monotonic_ns() + 10**10)
    with pytest.raises(OrderError, match="no target"):
        connection.send(Request("GET", "/a b"), monotonic_ns() + 10**10)
    assert pool.counts["query"] == 0
    assert (await ask(pool)).status == 200
    await pool.close()
    await server.stop()


@on_uvloop
async def test_what_the_venue_says_unasked_is_never_an_answer() -> None:
    said = {"greeting": answer(408, b"too slow")}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said["greeting"])
        if not said["greeting"]:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(200, b"asked"))
        await reader.read()
        writer.close()

    raw = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = ScriptedServer(lambda *_: answer())
    server.port = raw.sockets[0].getsockname()[1]
    async with pool_to(server) as pool:
        task = asyncio.create_task(ask(pool))
        await until(lambda: pool.counts["open"] == 0)
        said["greeting"] = b""
        assert (await task).body == b"asked"
    raw.close()
    await raw.wait_closed()


@on_uvloop
async def test_bytes_that_wait_unread_keep_a_connection_from_being_lent() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server, size=3) as pool:
        await until(lambda: len(server.open) == 3 and pool.counts["idle"] == 3)
        for writer in server.open:
            os.write(writer.get_extra_info("socket").fileno(), answer(408))  # no loop between
        assert pool.take(Kind.ORDER) is None
        assert (await ask(pool)).status == 200  # of new connections, asked for
    await server.stop()
