"""Servers that lie, break off, flood or crawl: counted, closed or refused, and never in plain text.

On every transport: picows, and io_uring in the loop and in a thread of its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oracle.http_server import make_certificates
from oracle.links_rig import (
    FRAME_BYTES_MAX,
    AnyLinks,
    MakeLinks,
    Owner,
    make_transport,
    raw_frame,
    raw_server,
)

PINGS = 1_000_000
PINGS_PICOWS = 20_000
"""picows answers each ping by itself, in Python; io_uring answers the newest only."""


@pytest.fixture(params=["picows", "loop", "thread"])
def make_links(request: pytest.FixtureRequest) -> MakeLinks:
    """Return a maker of the transport at hand."""

    def make(url: str, owner: Owner, **more: object) -> AnyLinks:
        return make_transport(request.param, url, owner, **more)

    return make


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a certificate authority; ``contexts`` come from it."""
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="module")
def contexts(authority: Path) -> dict[str, ssl.SSLContext]:
    """Return server contexts: good, expired, other-host, self-signed."""
    return make_certificates(authority)


async def nothing(writer: asyncio.StreamWriter) -> None:
    """Say nothing after the handshake."""
    await writer.drain()


async def test_messages_pass_both_ways_over_verified_tls(
    make_links: MakeLinks, contexts: dict[str, ssl.SSLContext], authority: Path
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw_frame(1, b"x" * 90_000) + raw_frame(9, b"hi") + raw_frame(1, b"PONG"))
        for byte in raw_frame(1, b"slow"):  # a TLS record a byte
            writer.write(bytes([byte]))
            await writer.drain()

    async with raw_server(answer, tls=contexts["good"]) as url:
        owner = Owner()
        links = make_links(url, owner, ca_file=authority / "ca.pem")
        links.connect(1)
        await owner.until(lambda: len(owner.frames) == 2 and owner.pongs)
        assert owner.frames == [b"x" * 90_000, b"slow"]
        assert links.send(1, "PING" * 20_000)
        await links.stop()
        assert owner.told == [("connected", 1), ("disconnected", 1)]


@pytest.mark.parametrize("certificate", ["expired", "other-host", "self-signed"])
async def test_certificate_that_proves_nothing_is_refused(
    make_links: MakeLinks,
    contexts: dict[str, ssl.SSLContext],
    authority: Path,
    certificate: str,
) -> None:
    reached = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        reached.append(writer)

    async with raw_server(answer, tls=contexts[certificate]) as url:
        owner = Owner()
        links = make_links(url, owner, ca_file=authority / "ca.pem")
        links.connect(1)
        await owner.until(lambda: owner.told)
        assert owner.told == [("failed", 1)]
        assert "certificate" in owner.reasons[0].lower()
        await links.stop()
    assert not reached  # no request was sent to it, let alone in plain text


async def test_server_without_tls_is_never_spoken_to_in_plain_text(
    make_links: MakeLinks, authority: Path, contexts: dict[str, ssl.SSLContext]
) -> None:
    heard = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4_096))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    owner = Owner()
    url = f"wss://localhost:{server.sockets[0].getsockname()[1]}/"
    links = make_links(url, owner, ca_file=authority / "ca.pem")
    links.connect(1)
    await owner.until(lambda: owner.told)
    assert owner.told == [("failed", 1)]
    await links.stop()
    server.close()
    await server.wait_closed()
    assert heard[:1] == b"\x16"  # a TLS handshake
    assert b"GET" not in heard


async def test_noise_inside_tls_ends_the_connection(
    make_links: MakeLinks, contexts: dict[str, ssl.SSLContext], authority: Path
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw_frame(1, b"whole"))
        await writer.drain()
        below = writer.transport.get_extra_info("socket")
        await asyncio.sleep(0.05)
        below._sock.send(b"\x17\x03\x03\x00\x20" + b"n" * 32)  # a record that nobody sealed

    async with raw_server(answer, tls=contexts["good"]) as url:
        owner = Owner()
        links = make_links(url, owner, ca_file=authority / "ca.pem")
        links.connect(1)
        await owner.until(lambda: ("disconnected", 1) in owner.told)
        assert owner.frames == [b"whole"]
        await links.stop()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Serve one fixed answer to every request."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with raw_server(write, upgrade=False) as url:
        yield url


UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            UPGRADE + b"Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", id="another key"
        ),
        pytest.param(UPGRADE + b"\r\n", id="no key"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", id="no upgrade"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", id="elsewhere"),
        pytest.param(b"\x00\xff\r\n\r\n", id="noise"),
        pytest.param(b"HTTP/1.1\r\n\r\n", id="no status"),
        pytest.param(UPGRADE + b"X: " + b"x" * 200_000, id="endless"),
    ],
)
async def test_answer_that_opens_no_websocket_is_a_failure(
    make_links: MakeLinks, answer: bytes
) -> None:
    async with answering(answer) as url:
        owner = Owner()
        links = make_links(url, owner, connect_timeout_s=1.0)
        links.connect(1)
        await owner.until(lambda: owner.told)
        assert owner.told == [("failed", 1)]
        await links.stop()


async def test_slow_bytes_make_a_whole_message(make_links: MakeLinks) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        for byte in raw_frame(1, b"s" * 200) + raw_frame(1, b"next"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: len(owner.frames) == 2)
        assert owner.frames == [b"s" * 200, b"next"]
        await links.stop()


@pytest.mark.parametrize("cut", [1, 3, 50_000])
async def test_end_in_the_middle_of_a_frame_is_an_end(make_links: MakeLinks, cut: int) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw_frame(1, b"whole") + raw_frame(1, b"x" * 60_000)[:cut])
        await writer.drain()
        writer.close()

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: ("disconnected", 1) in owner.told)
        assert owner.frames == [b"whole"]
        assert not links.send(1, "late")
        await links.stop()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(raw_frame(0, b"orphan"), id="piece of nothing"),
        pytest.param(raw_frame(1, b"a", fin=False) + raw_frame(1, b"b"), id="message in another"),
        pytest.param(b"\x81\x7e\x00\x05hello", id="length not the shortest"),
        pytest.param(b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", id="length with a sign"),
        pytest.param(raw_frame(9, b"p" * 126), id="ping too long"),
        pytest.param(b"\x88\x01x", id="half a close code"),
    ],
)
async def test_broken_framing_is_told_and_ends_the_connection(
    make_links: MakeLinks, bad: bytes
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(bad)

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: len(owner.told) == 3)
        assert sorted(owner.told) == [("broken", 1), ("connected", 1), ("disconnected", 1)]
        assert owner.frames == []
        await links.stop()


async def test_a_million_pings_are_survived(
    make_links: MakeLinks, request: pytest.FixtureRequest
) -> None:
    pings = PINGS_PICOWS if "picows" in request.node.name else PINGS
    block = raw_frame(9, b"") * 10_000

    async def answer(writer: asyncio.StreamWriter) -> None:
        for _ in range(pings // 10_000):
            writer.write(block)
            await writer.drain()
        writer.write(raw_frame(1, b"alive"))

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: owner.frames)
        assert owner.frames == [b"alive"]
        assert links.send(1, "PING")
        await links.stop()


async def test_frame_beyond_the_limit_is_refused_by_its_header(make_links: MakeLinks) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw_frame(1, b"x" * (FRAME_BYTES_MAX + 1))[:10])  # no payload ever comes

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: len(owner.told) == 3)
        assert ("unusable", True) in owner.told
        await links.stop()
