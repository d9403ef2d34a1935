"""The pool: who gets a connection, which one, and what is said when there is none."""

from __future__ import annotations

import asyncio
import re
import resource
import ssl
from pathlib import Path

import pytest

from oracle.http_server import (
    HANG,
    ScriptedServer,
    Told,
    answer,
    ask,
    make_certificates,
    on_uvloop,
    pool_to,
    trusting,
    until,
)
from overround.clock import NS_PER_MS, monotonic_ns
from overround.errors import ConfigError
from overround.execute.client import VenueClient
from overround.execute.http import pool as module
from overround.execute.http.answer import Kind, NoAnswer, NotSent
from overround.execute.http.dial import Origin
from overround.observe.metrics import Value
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.rest import Request


def later_ns(ms: int = 30_000) -> int:
    return monotonic_ns() + ms * NS_PER_MS


@on_uvloop
async def test_connections_are_there_before_the_first_request() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    told = Told()
    async with pool_to(server, size=5, told=told) as pool:
        await until(lambda: pool.counts["idle"] == 5)
        assert server.requests == []
        for _ in range(10):
            await ask(pool)
    assert (server.connections, told.counts) == (5, {Value.HTTP_CONNECTS: 5})
    await server.stop()


@on_uvloop
async def test_queries_and_orders_leave_connections_to_cancels() -> None:
    server = ScriptedServer(lambda *_: HANG)
    await server.start()
    async with pool_to(server, size=4) as pool:
        await until(lambda: pool.counts["idle"] == 4)
        wanted = [Kind.QUERY] * 6 + [Kind.ORDER] * 6 + [Kind.CANCEL] * 6
        tasks = [asyncio.create_task(ask(pool, kind)) for kind in wanted]
        await until(lambda: len(server.requests) == 4)
        assert pool.counts == {"open": 4, "idle": 0, "cancel": 1, "order": 1, "query": 2}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: pool.counts["idle"] == 4)
        assert [pool.counts[kind.name.lower()] for kind in Kind] == [0, 0, 0]
    await server.stop()


@on_uvloop
async def test_who_waits_is_served_cancels_first() -> None:
    gate = asyncio.Event()
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server, size=3) as pool:
        await until(lambda: pool.counts["idle"] == 3)
        taken = [pool.take(Kind.CANCEL) for _ in range(3)]
        assert pool.take(Kind.CANCEL) is None
        served: list[Kind] = []

        async def queue(kind: Kind) -> None:
            connection = await pool.wait(kind, later_ns())
            served.append(kind)
            await gate.wait()
            connection.release()

        tasks = []
        for kind in (Kind.QUERY, Kind.ORDER, Kind.CANCEL, Kind.CANCEL):
            tasks.append(asyncio.create_task(queue(kind)))
            await asyncio.sleep(0)
        for connection in taken:
            assert connection is not None
            connection.release()
        await until(lambda: len(served) == 3)
        assert served == [Kind.CANCEL, Kind.CANCEL, Kind.ORDER]
        gate.set()
        await asyncio.gather(*tasks)
        assert served[-1] is Kind.QUERY
    await server.stop()


@on_uvloop
async def test_a_full_queue_and_a_passed_deadline_are_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITERS_MAX", 2)
    server = ScriptedServer(lambda *_: HANG)
    await server.start()
    async with pool_to(server) as pool:
        await until(lambda: pool.counts["idle"] == 3)
        for _ in range(3):
            assert pool.take(Kind.CANCEL)
        tasks = [asyncio.create_task(pool.wait(Kind.ORDER, later_ns(100))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match="2 ORDER requests wait"):
            await pool.wait(Kind.ORDER, later_ns())
        for task in tasks:
            with pytest.raises(NotSent, match="free in time"):
                await task
    assert server.requests == []
    await server.stop()


@on_uvloop
async def test_a_connection_is_replaced_before_the_venues_limit() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server, requests_max=4) as pool:
        await until(lambda: pool.counts["idle"] == 3)
        for _ in range(40):
            await ask(pool)
        await until(lambda: pool.counts["idle"] == 3)
    assert sum(server.carried.values()) == 40
    assert max(server.carried.values()) == 4
    await server.stop()


@on_uvloop
async def test_a_connection_is_replaced_at_its_age_one_after_the_other() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server, age_max_ns=50 * NS_PER_MS) as pool:
        await until(lambda: server.connections >= 9)
        assert (await ask(pool)).status == 200
    await server.stop()


@on_uvloop
async def test_a_connection_that_the_venue_closed_while_idle_gets_no_request() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server) as pool:
        for _ in range(3):
            await ask(pool)
        for _ in range(20):
            await server.cut_all()
            assert (await ask(pool)).status == 200
    assert len(server.requests) == 23  # nothing was lost, nothing came twice
    await server.stop()


@on_uvloop
async def test_a_venue_that_comes_back_is_found_again() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    told = Told()
    async with pool_to(server, told=told) as pool:
        await ask(pool)
        await server.stop()
        await until(lambda: pool.counts["open"] == 0)
        await until(lambda: told.counts.get(Value.HTTP_CONNECTS_FAILED, 0) >= 2)
        for kind in (Kind.ORDER, Kind.QUERY):
            with pytest.raises(NotSent, match="cannot be reached"):
                await ask(pool, kind)
        cancel = asyncio.create_task(ask(pool, Kind.CANCEL))  # this one waits for the venue
        await asyncio.sleep(0)
        await server.start(port=server.port)
        assert (await cancel).status == 200
        await until(lambda: pool.counts["open"] == 3)
    assert "unreachable" in told.codes()
    await server.stop()


@on_uvloop
async def test_a_venue_that_hangs_up_at_once_is_not_dialled_without_end() -> None:
    server = ScriptedServer(lambda *_: answer())

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writer.transport.abort()

    raw = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    server.port = raw.sockets[0].getsockname()[1]
    told = Told()
    async with pool_to(server, told=told) as pool:
        await until(lambda: told.counts.get(Value.HTTP_CONNECTS_FAILED, 0) >= 5)
        with pytest.raises((NotSent, NoAnswer)):
            await ask(pool, within_ms=300)
        assert server.connections < 20
    raw.close()
    await raw.wait_closed()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid"])
@on_uvloop
async def test_a_name_that_nobody_knows_is_told(host: str) -> None:
    server = ScriptedServer(lambda *_: answer())
    server.port = 80
    told = Told()
    async with pool_to(server, host=host, told=told) as pool:
        with pytest.raises(NotSent, match=f"name is not known: {re.escape(host)}"):
            await ask(pool)
    assert told.codes() == {"name-unknown"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("expired", "certificate has expired"),
        ("other-host", "Hostname mismatch"),
        ("self-signed", "self-signed certificate"),
    ],
)
@on_uvloop
async def test_a_certificate_that_proves_nothing_gets_no_byte(
    tmp_path: Path, name: str, why: str
) -> None:
    contexts = make_certificates(tmp_path)
    server = ScriptedServer(lambda *_: answer())
    await server.start(contexts[name])
    told = Told()
    async with pool_to(server, host="localhost", told=told, tls=trusting(tmp_path)) as pool:
        with pytest.raises(NotSent, match=why):
            await ask(pool, Kind.ORDER)
    assert server.requests == []
    assert told.codes() == {"tls"}
    assert told.counts[Value.HTTP_CONNECTS_FAILED] >= 1
    await server.stop()


@on_uvloop
async def test_over_tls_answers_come_and_closed_connections_are_not_used(tmp_path: Path) -> None:
    contexts = make_certificates(tmp_path)
    body = bytes(200_000)
    server = ScriptedServer(lambda *_: answer(200, body))
    await server.start(contexts["good"])
    async with pool_to(server, host="localhost", tls=trusting(tmp_path)) as pool:
        for _ in range(10):
            assert (await ask(pool)).body == body
        await server.cut_all()
        assert (await ask(pool)).status == 200
    await server.stop()


@on_uvloop
async def test_a_plain_venue_behind_an_https_url_gets_no_byte_of_an_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DIAL_S", 0.3)
    make_certificates(tmp_path)
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    context = trusting(tmp_path)
    async with pool_to(server, host="localhost", tls=context) as pool:
        with pytest.raises(NotSent, match=r"TLS certificate is not accepted|cannot be reached"):
            await ask(pool, within_ms=5_000)
    assert server.requests == []
    await server.stop()


def test_the_default_context_verifies() -> None:
    context = ssl.create_default_context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    ("url", "origin", "header"),
    [
        ("http://127.0.0.1:8080", Origin("127.0.0.1", 8080, False), "127.0.0.1:8080"),
        ("https://clob.polymarket.com/", Origin("clob.polymarket.com", 443, True), None),
        ("http://[::1]:80/api/", Origin("::1", 80, False, "/api"), "[::1]"),
    ],
)
def test_origins(url: str, origin: Origin, header: str | None) -> None:
    assert Origin.parse(url) == origin
    assert Origin.parse(url).host_header == (header or "clob.polymarket.com")


@pytest.mark.parametrize("url", ["ftp://x", "clob", "https://", "http://h:x", "http://h/?a=b"])
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="rest_url"):
        Origin.parse(url)


@on_uvloop
async def test_a_closed_pool_lends_nothing() -> None:
    server = ScriptedServer(lambda *_: HANG)
    await server.start()
    async with pool_to(server) as pool:
        under_way = asyncio.create_task(ask(pool))
        await until(lambda: len(server.requests) == 1)
    with pytest.raises(NoAnswer):
        await under_way
    with pytest.raises(NotSent, match="closed"):
        await pool.wait(Kind.CANCEL, later_ns())
    await server.stop()


@pytest.mark.parametrize("part", ["sweep", "_fill"])
@on_uvloop
async def test_a_pool_that_fails_ends_every_request_and_is_told(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ScriptedServer(lambda *_: HANG)
    await server.start()
    told = Told()
    failures: list[BaseException] = []

    def broken(_: object) -> None:
        raise ZeroDivisionError(part)

    async with pool_to(server, size=1, told=told, on_failure=failures.append) as pool:
        under_way = asyncio.create_task(ask(pool, Kind.CANCEL))
        waiting = asyncio.create_task(ask(pool, Kind.CANCEL))
        await until(lambda: len(server.requests) == 1)
        monkeypatch.setattr(module.Pool, part, broken)
        with pytest.raises(NoAnswer, match="the pool failed"):
            await under_way
        with pytest.raises(NotSent, match="the pool failed"):
            await waiting
        with pytest.raises(NotSent, match="the pool failed: ZeroDivisionError"):
            await ask(pool, Kind.CANCEL)
    assert [type(one) for one in failures] == [ZeroDivisionError]
    assert [event for event, _ in told.lines] == ["transport failed"]
    await server.stop()


@on_uvloop
async def test_a_client_says_that_its_transport_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer(lambda *_: answer(body=b"1795000000"))
    await server.start()

    def broken(_: object) -> None:
        raise ZeroDivisionError

    failures: list[BaseException] = []
    client = VenueClient(
        f"http://127.0.0.1:{server.port}", Signer("0x" + "11" * 32), chain_id=137,
        timeout_ms=30_000, epoch_s=lambda: 1_795_000_000,
    )  # fmt: skip
    client.on_failure = failures.append
    await client.__aenter__()
    assert (await client.call(Request("GET", "/time"))).status == 200
    monkeypatch.setattr(module.Pool, "sweep", broken)
    await until(lambda: bool(failures))
    with pytest.raises(ZeroDivisionError):  # who did not listen finds out at the end
        await client.__aexit__(None, None, None)
    await server.stop()


@on_uvloop
async def test_a_pool_without_descriptors_dials_again_ever_more_slowly() -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    told = Told()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        async with pool_to(server, told=told) as pool:
            await until(lambda: told.counts.get(Value.HTTP_CONNECTS_FAILED, 0) >= 3)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (await ask(pool, Kind.CANCEL)).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {event for event, _ in told.lines} == {"no connection to the venue"}
    await server.stop()


@pytest.mark.parametrize("served", [True, False])
@on_uvloop
async def test_who_is_cancelled_in_the_turn_it_is_served_stays_cancelled(served: bool) -> None:
    server = ScriptedServer(lambda *_: answer())
    await server.start()
    async with pool_to(server) as pool:
        await until(lambda: pool.counts["idle"] == 3)
        taken = [pool.take(Kind.CANCEL) for _ in range(3)]
        deadline_ns = later_ns() if served else later_ns(1)
        task = asyncio.create_task(pool.wait(Kind.ORDER, deadline_ns))
        await asyncio.sleep(0)
        if served:
            assert taken[0] is not None
            taken[0].release()
        else:
            await until(lambda: monotonic_ns() > deadline_ns)
            pool.sweep()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.counts["order"] == 0
        assert pool.counts["idle"] == int(served)
    await server.stop()
