"""Market-socket transports under a server played by hand, byte for byte, plain or TLS."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from overround.host.uring import Shape, probe
from overround.ingress.native import NativeLinks
from overround.ingress.transport import Links

FRAME_BYTES_MAX = 100_000

AnyLinks = Links | NativeLinks
MakeLinks = Callable[..., AnyLinks]


class Owner:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.told: list[tuple[object, ...]] = []
        self.pongs = 0
        self.reasons: list[str] = []
        self._changed = asyncio.Event()

    def on_frame(self, payload: memoryview | bytearray, recv_ns: int, connection: int) -> None:
        assert recv_ns > 0
        self.frames.append(bytes(payload))
        self._changed.set()

    def on_pong(self, connection: int, recv_ns: int) -> None:
        self.pongs += 1
        self._changed.set()

    def on_frames(self, summary: object) -> None:
        raise AssertionError("there is no engine here")

    def on_unusable(
        self, connection: int, recv_ns: int, *, too_large: bool, count: int = 1
    ) -> None:
        for _ in range(count):
            self._tell("unusable", too_large)

    def on_broken(self, connection: int, reason: str) -> None:
        self.reasons.append(reason)
        self._tell("broken", connection)

    def on_connected(self, connection: int) -> None:
        self._tell("connected", connection)

    def on_connect_failed(self, connection: int, reason: str) -> None:
        self.reasons.append(reason)
        self._tell("failed", connection)

    def on_disconnected(self, connection: int) -> None:
        self._tell("disconnected", connection)

    def _tell(self, *what: object) -> None:
        self.told.append(what)
        self._changed.set()

    async def until(self, claim: Callable[[], object]) -> None:
        """Wait until ``claim()`` holds; looked at whenever the owner was told something."""
        async with asyncio.timeout(20):
            while not claim():
                self._changed.clear()
                await self._changed.wait()


def make_transport(
    name: str, url: str, owner: Owner, *, ca_file: Path | None = None, **more: Any
) -> AnyLinks:
    """Return picows, or io_uring in the shape of that name; skips where there is none."""

    def fatal(error: BaseException) -> None:
        raise error

    settings: dict[str, Any] = {
        "frame_bytes_max": FRAME_BYTES_MAX,
        "connect_timeout_s": 10.0,
        "on_fatal": fatal,
        **more,
    }
    if name == "picows":
        tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        return Links(url, owner, tls=tls, **settings)
    if not (found := probe(Shape(name))).usable:
        pytest.skip(found.cause)
    authority = None if ca_file is None else str(ca_file)
    return NativeLinks(url, owner, shape=Shape(name), ca_file=authority, **settings)


def raw_frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Return a server's WebSocket frame, whole or a piece."""
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65_536:
        return head + bytes([126]) + struct.pack(">H", len(payload)) + payload
    return head + bytes([127]) + struct.pack(">Q", len(payload)) + payload


@asynccontextmanager
async def raw_server(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]],
    *,
    upgrade: bool = True,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve handshakes by hand, then let ``answer`` write any bytes."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        request = await reader.readuntil(b"\r\n\r\n")
        if upgrade:
            key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key + magic).digest())
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
        await answer(writer)
        await reader.read()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"wss://localhost:{port}/ws/market" if tls else f"ws://127.0.0.1:{port}/ws/market"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()
