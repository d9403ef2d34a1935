"""Connections over real sockets: what reaches the owner, and what a bad peer cannot do.

One suite for every transport: picows, and io_uring in each of its shapes.
"""

from __future__ import annotations

import asyncio

import pytest

from oracle.links_rig import (
    FRAME_BYTES_MAX,
    AnyLinks,
    MakeLinks,
    Owner,
    make_transport,
    raw_frame,
    raw_server,
)
from oracle.venue_script import VenueScript


@pytest.fixture(params=["picows", "loop", "thread", "spin"])
def make_links(request: pytest.FixtureRequest) -> MakeLinks:
    """Return a maker of the transport at hand."""

    def make(url: str, owner: Owner, **more: object) -> AnyLinks:
        return make_transport(request.param, url, owner, **more)

    return make


async def test_text_reaches_the_owner_whole_and_pong_is_no_data(make_links: MakeLinks) -> None:
    async with VenueScript() as venue:
        owner = Owner()
        links = make_links(venue.ws_url, owner)
        links.connect(1)
        await owner.until(lambda: owner.told)
        assert links.send(1, "PING")
        await owner.until(lambda: owner.pongs)
        assert dict(links.data_times()) == {1: 0}
        await venue.peer.send('{"a": 1}')
        await venue.peer.send("PONGS")
        await owner.until(lambda: len(owner.frames) == 2)
        assert owner.frames == [b'{"a": 1}', b"PONGS"]
        assert dict(links.data_times())[1] > 0
        await links.stop()
        assert owner.told == [("connected", 1), ("disconnected", 1)]


async def test_binary_message_is_dropped_and_told(make_links: MakeLinks) -> None:
    async with VenueScript() as venue:
        owner = Owner()
        links = make_links(venue.ws_url, owner)
        links.connect(1)
        await owner.until(lambda: owner.told)
        await venue.peer.send(b"\x00\x01")
        await venue.peer.send("text")
        await owner.until(lambda: owner.frames and len(owner.told) == 2)
        assert owner.told[1:] == [("unusable", False)]
        await links.stop()


async def test_message_in_pieces_is_joined_and_an_overlong_one_dropped(
    make_links: MakeLinks,
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw_frame(1, b"one ", fin=False))
        writer.write(raw_frame(9, b"hello"))  # a control frame may stand between pieces
        writer.write(raw_frame(0, b"two ", fin=False) + raw_frame(0, b"three"))
        for piece in range(3):
            writer.write(raw_frame(0 if piece else 1, b"x" * 40_000, fin=piece == 2))
        writer.write(raw_frame(2, b"\x00", fin=False) + raw_frame(0, b"\x01"))
        writer.write(raw_frame(1, b"end"))

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: len(owner.frames) == 2)
        assert owner.frames == [b"one two three", b"end"]
        await owner.until(lambda: len(owner.told) == 3)
        assert owner.told[0] == ("connected", 1)
        assert sorted(owner.told[1:]) == [("unusable", False), ("unusable", True)]
        await links.stop()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\x83\x00", id="reserved opcode"),
        pytest.param(b"\x81\x81\x00\x00\x00\x00x", id="masked by the server"),
        pytest.param(raw_frame(1, b"x" * (FRAME_BYTES_MAX + 1)), id="beyond the limit"),
        pytest.param(b"\x09\x00", id="ping in pieces"),
    ],
)
async def test_broken_framing_ends_the_connection_and_nothing_else(
    make_links: MakeLinks, bad: bytes
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(bad)

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        await owner.until(lambda: ("disconnected", 1) in owner.told)
        assert owner.frames == []
        assert not links.send(1, "late")


async def test_dead_port_refusal_and_nonsense_are_told_as_failures(make_links: MakeLinks) -> None:
    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n")

    venue = VenueScript()
    await venue.start()
    url = venue.ws_url
    venue.refuse = True
    owner = Owner()
    links = make_links(url, owner)
    links.connect(1)
    await owner.until(lambda: len(owner.told) == 1)
    await venue.stop()
    links.connect(2)
    await owner.until(lambda: len(owner.told) == 2)
    async with raw_server(nonsense, upgrade=False) as other:
        links = make_links(other, owner)
        links.connect(3)
        await owner.until(lambda: len(owner.told) == 3)
    assert owner.told == [("failed", 1), ("failed", 2), ("failed", 3)]
    assert "503" in owner.reasons[0]
    assert "Error" in owner.reasons[1]


async def test_handshake_without_answer_ends_in_time(make_links: MakeLinks) -> None:
    async def nothing(writer: asyncio.StreamWriter) -> None:
        await writer.drain()

    async with raw_server(nothing, upgrade=False) as url:
        owner = Owner()
        links = make_links(url, owner, connect_timeout_s=0.2)
        links.connect(1)
        await owner.until(lambda: owner.told)
        assert owner.told == [("failed", 1)]
        await links.stop()


async def test_close_by_the_venue_is_told_once(make_links: MakeLinks) -> None:
    async with VenueScript() as venue:
        owner = Owner()
        links = make_links(venue.ws_url, owner)
        links.connect(1)
        await owner.until(lambda: owner.told)
        await venue.peer.close()
        await owner.until(lambda: len(owner.told) == 2)
        assert owner.told == [("connected", 1), ("disconnected", 1)]
        assert venue.peer.socket.close_code == 1000


async def test_close_while_connecting_is_not_told(make_links: MakeLinks) -> None:
    async def nothing(writer: asyncio.StreamWriter) -> None:
        await writer.drain()

    async with raw_server(nothing, upgrade=False) as url:
        owner = Owner()
        links = make_links(url, owner)
        links.connect(1)
        links.close(1)
        await links.stop()
        assert owner.told == []


async def test_our_own_error_in_a_callback_is_fatal(make_links: MakeLinks) -> None:
    class Broken(Owner):
        def on_frame(self, payload: memoryview | bytearray, recv_ns: int, connection: int) -> None:
            raise KeyError("ours")

    async with VenueScript() as venue:
        owner = Broken()
        errors: list[BaseException] = []
        links = make_links(venue.ws_url, owner, on_fatal=errors.append)
        links.connect(1)
        await owner.until(lambda: owner.told)
        await venue.peer.send("{}")
        await owner.until(lambda: ("disconnected", 1) in owner.told)
        await links.stop()
        assert [type(error) for error in errors] == [KeyError]
