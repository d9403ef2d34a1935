"""A venue that says what the test tells it to, byte for byte, over real sockets."""

from __future__ import annotations

import asyncio
import functools
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvloop

from overround.clock import monotonic_ns
from overround.execute.http.answer import Kind
from overround.execute.http.dial import Origin
from overround.execute.http.pool import Pool, PoolLimits
from overround.observe.metrics import Histogram, Value
from overround.venues.polymarket.rest import Request

PATIENCE_S = 30
HANG = b"hang"
"""Instead of an answer: nothing more is said."""
CUT = b"cut"
"""Instead of an answer: the connection is closed."""


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on the loop that the executor uses."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*arguments, **named))

    return run


def answer(status: int = 200, body: bytes = b"{}", *lines: str) -> bytes:
    """Return the bytes of an answer with a Content-Length."""
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class ScriptedServer:
    """Answers the requests of each connection with what ``reply`` returns for them."""

    def __init__(self, reply: Callable[[bytes, int], bytes]) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self.connections = 0
        self.carried: dict[int, int] = {}
        """Requests by number of the connection."""
        self.open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in list(self.open):
            writer.transport.abort()

    async def cut_all(self) -> None:
        """Cut every connection and wait until that has been done."""
        cut = list(self.open)
        self.cut()
        await until(lambda: not self.open.intersection(cut))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                self.carried[number] = self.carried.get(number, 0) + 1
                said = self.reply(request, len(self.requests))
                if said == HANG:
                    await reader.read()
                    return
                if said.endswith(CUT):
                    writer.write(said.removesuffix(CUT))
                    await writer.drain()
                    return
                writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open.discard(writer)
            writer.close()


class Told:
    """News kept in lists."""

    def __init__(self) -> None:
        self.counts: dict[Value, int] = {}
        self.gauges: dict[Value, int] = {}
        self.lines: list[tuple[str, dict[str, object]]] = []

    def count(self, value: Value, n: int = 1) -> None:
        self.counts[value] = self.counts.get(value, 0) + n

    def gauge(self, value: Value, number: int) -> None:
        self.gauges[value] = number

    def time(self, stage: Histogram, elapsed_ns: int) -> None:
        assert elapsed_ns >= 0

    def report(self, *_: object, **__: object) -> None:
        raise AssertionError("the transport reports no intents")

    def notice(self, event: str, /, **values: object) -> None:
        self.lines.append((event, values))

    def codes(self) -> set[object]:
        return {values.get("code") for _, values in self.lines}


def plain(request: Request) -> bytes:
    """Encode without any proof."""
    return (
        f"{request.method} {request.target} HTTP/1.1\r\nHost: venue\r\n"
        f"Content-Length: {len(request.body)}\r\n\r\n"
    ).encode() + request.body


@asynccontextmanager
async def pool_to(
    server: ScriptedServer,
    *,
    size: int = 3,
    host: str = "127.0.0.1",
    told: Told | None = None,
    tls: ssl.SSLContext | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
    **limits: int,
) -> AsyncIterator[Pool]:
    pool = Pool(
        Origin(host, server.port, tls is not None),
        plain,
        told or Told(),
        limits=PoolLimits(size, **limits),
        clock=monotonic_ns,
        random=Random(1),
        tls=tls,
        on_failure=on_failure,
    )
    pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def ask(pool: Pool, kind: Kind = Kind.QUERY, *, within_ms: int = 30_000) -> Any:
    """Make one request and return its Response."""
    deadline_ns = monotonic_ns() + within_ms * 1_000_000
    connection = await pool.wait(kind, deadline_ns)
    return await connection.send(Request("GET", "/"), deadline_ns)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)


def make_certificates(folder: Path) -> dict[str, ssl.SSLContext]:
    """Return server contexts: good, expired, other-host, self-signed. ``ca.pem`` signed three."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def context(name: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(folder / f"{name}.pem", folder / "key.pem")
        return made

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
    new = ("req", "-new", "-key", "key.pem")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=a test's authority", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=localhost", "-out", "self-signed.pem",
            "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
    for name, host, days in (
        ("good", "localhost", "2"),
        ("expired", "localhost", "-1"),
        ("other-host", "elsewhere.example", "2"),
    ):
        openssl(*new, "-subj", f"/CN={host}", "-out", "request.pem")
        (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
        sign = ("x509", "-req", "-CA", "ca.pem", "-CAkey", "key.pem", "-CAcreateserial")
        openssl(*sign, "-in", "request.pem", "-days", days, "-extfile", "names",
                "-out", f"{name}.pem")  # fmt: skip
    return {name: context(name) for name in ("good", "expired", "other-host", "self-signed")}


def trusting(folder: Path) -> ssl.SSLContext:
    """Return what the client uses by default, with the test's authority as the only one."""
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))
