"""What only the io_uring transport can be asked or can run out of, and what picows rides on."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import aiofastnet
import pytest

from oracle.http_server import make_certificates
from oracle.links_rig import Owner, make_transport, raw_frame, raw_server
from oracle.venue_script import VenueScript
from overround.errors import HostError
from overround.host.uring import Shape
from overround.observe.metrics import Value

SHAPES = pytest.mark.parametrize("shape", list(Shape))


async def nothing(writer: asyncio.StreamWriter) -> None:
    """Say nothing after the handshake."""
    await writer.drain()


async def test_authorities_that_cannot_be_read_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"authorities.*nowhere\.pem"):
        make_transport("loop", "wss://localhost:1/", Owner(), ca_file=tmp_path / "nowhere.pem")


async def test_name_without_address_is_a_failure_with_its_reason() -> None:
    owner = Owner()
    links = make_transport("loop", "ws://venue.invalid:1/", owner)
    links.connect(1)
    await owner.until(lambda: owner.told)
    assert owner.told == [("failed", 1)]
    assert "gaierror" in owner.reasons[0]
    await links.stop()


async def test_connection_beyond_the_room_fails_and_its_room_is_used_again() -> None:
    async with raw_server(nothing) as url:
        owner = Owner()
        links = make_transport("loop", url, owner, links_max=1)
        links.connect(1)
        await owner.until(lambda: owner.told)
        links.connect(2)
        await owner.until(lambda: len(owner.told) == 2)
        assert owner.told == [("connected", 1), ("failed", 2)]
        assert "no room for a connection" in owner.reasons[0]
        assert links.close(1)
        await owner.until(lambda: len(owner.told) == 3)
        links.connect(3)
        await owner.until(lambda: len(owner.told) == 4)
        assert owner.told[2:] == [("disconnected", 1), ("connected", 3)]
        await links.stop()


@SHAPES
async def test_server_that_does_not_read_is_left(shape: Shape) -> None:
    stalled = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await stalled.wait()

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_transport(shape.value, url, owner)
        links.connect(1)
        await owner.until(lambda: owner.told)
        sent = 0
        while links.send(1, "x" * 100_000):
            sent += 1
            assert sent < 1_000
        await owner.until(lambda: ("disconnected", 1) in owner.told)
        assert not links.send(1, "late")
        stalled.set()
        await links.stop()


@pytest.mark.parametrize("shape", [Shape.THREAD, Shape.SPIN])
async def test_thread_of_its_own_runs_where_it_is_told_to(shape: Shape) -> None:
    cpu = max(os.sched_getaffinity(0))
    async with VenueScript() as venue:
        owner = Owner()
        links = make_transport(shape.value, venue.ws_url, owner, cpus=[cpu])
        links.connect(1)
        await owner.until(lambda: owner.told)
        assert os.sched_getaffinity(links._thread.native_id) == {cpu}
        assert os.sched_getaffinity(0) != {cpu} or os.cpu_count() == 1
        await links.stop()


@SHAPES
async def test_what_the_ring_counts_is_shown(shape: Shape) -> None:
    async with VenueScript() as venue:
        owner = Owner()
        links = make_transport(shape.value, venue.ws_url, owner)
        links.connect(1)
        await owner.until(lambda: owner.told)
        await venue.peer.send("{}")
        await owner.until(lambda: owner.frames)
        shown = links.gauges()
        assert shown[Value.URING_SHAPE] == shape.number + 1
        assert shown[Value.URING_ENTERS] > 0
        await links.stop()
        assert links.gauges()[Value.URING_SHAPE] == shape.number + 1


@SHAPES
async def test_many_connections_come_and_go(shape: Shape) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw_frame(1, b"hello"))

    async with raw_server(answer) as url:
        owner = Owner()
        links = make_transport(shape.value, url, owner)
        for number in range(1, 61):
            links.connect(number)
        await owner.until(lambda: len(owner.frames) == 60)
        for number in range(1, 31):
            assert links.close(number)
        await owner.until(lambda: len(owner.told) == 90)
        assert {told for told in owner.told if told[0] == "disconnected"} == {
            ("disconnected", number) for number in range(1, 31)
        }
        await links.stop()
        assert len(owner.told) == 120


async def test_picows_speaks_tls_through_aiofastnet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: dict[str, ssl.SSLContext] = make_certificates(tmp_path)
    used: list[bool] = []
    really = aiofastnet.create_connection

    def spy(*args: object, **more: object) -> object:
        used.append(more.get("ssl") is not None)
        return really(*args, **more)

    monkeypatch.setattr(aiofastnet, "create_connection", spy)
    async with raw_server(nothing, tls=contexts["good"]) as url:
        owner = Owner()
        links = make_transport("picows", url, owner, ca_file=tmp_path / "ca.pem")
        links.connect(1)
        await owner.until(lambda: owner.told)
        assert owner.told == [("connected", 1)]
        await links.stop()
    assert used == [True]
