"""The dead-man switch: beats, wrong ids, lapses, and silence after a kill."""

from __future__ import annotations

import asyncio

import pytest

from oracle.desk import ListNews, S
from overround.clock import NS_PER_MS
from overround.config.schema import Execute
from overround.errors import VenueError
from overround.execute import heartbeat
from overround.execute.client import NoAnswer, Response
from overround.execute.heartbeat import BEAT_S, DeadMan
from overround.observe.metrics import Value
from overround.venues.polymarket.rest import Request

EXPECTED = b'{"error":"Invalid Heartbeat ID","heartbeat_id":"id-7"}'


class Venue:
    """Answers beats as it is told, and remembers what it was sent."""

    def __init__(self) -> None:
        self.now_ns = S
        self.answers: list[Response | Exception] = []
        self.bodies: list[bytes] = []
        self.news = ListNews()
        self.lapses = 0
        self.quiet = False
        self.dead_man = DeadMan(
            self.call, self.news, quiet=lambda: self.quiet, clock=lambda: self.now_ns,
            on_lapse=self.lapse,
        )  # fmt: skip

    def lapse(self) -> None:
        self.lapses += 1

    async def call(self, request: Request) -> Response:
        self.bodies.append(request.body)
        answer = self.answers.pop(0) if self.answers else self.good("id-1")
        if isinstance(answer, Exception):
            raise answer
        return answer

    @staticmethod
    def good(name: str) -> Response:
        return Response(200, b'{"heartbeat_id":"%s"}' % name.encode(), "")


async def test_each_beat_carries_the_id_of_the_last_answer():
    venue = Venue()
    for _ in range(3):
        assert await venue.dead_man.beat()
    sent = [b'{"heartbeat_id":"%s"}' % one for one in (b"", b"id-1", b"id-1")]
    assert venue.bodies == sent
    assert venue.news.counts[Value.HEARTBEATS] == 3


async def test_a_beat_that_hangs_leaves_time_for_the_next_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.02)
    venue = Venue()
    answers, hung = [True, False, True], []

    async def call(request: Request) -> Response:
        if not answers.pop(0):
            hung.append(request)
            await asyncio.Event().wait()
        return venue.good("id-1")

    venue.dead_man._call = call
    assert [await venue.dead_man.beat() for _ in range(3)] == [True, False, True]
    assert (len(hung), venue.lapses) == (1, 0)
    assert venue.news.counts[Value.HEARTBEATS_FAILED] == 1
    two_lost_ns = 2 * int((BEAT_S + heartbeat.RETRY_S) * S)
    assert Execute().heartbeat_interval_ms * NS_PER_MS + two_lost_ns < heartbeat.LAPSE_NS


async def test_a_wrong_id_is_mended_at_once_and_once_only():
    venue = Venue()
    venue.answers = [Response(400, EXPECTED, ""), venue.good("id-8")]
    assert await venue.dead_man.beat()
    assert venue.bodies[1] == b'{"heartbeat_id":"id-7"}'
    venue.answers = [Response(400, EXPECTED, ""), Response(400, EXPECTED, "")]
    assert not await venue.dead_man.beat()
    assert venue.news.counts[Value.HEARTBEATS_FAILED] == 1


async def test_a_lapse_is_told_once_and_has_the_books_compared():
    venue = Venue()
    assert await venue.dead_man.beat()
    for seconds in (4, 8, 12):
        venue.now_ns = (1 + seconds) * S
        venue.answers = [NoAnswer("timed out") if seconds < 12 else VenueError("no")]
        assert not await venue.dead_man.beat()
        assert venue.lapses == 0  # it may sweep up to 5 s later
    for seconds in (16, 20):
        venue.now_ns = (1 + seconds) * S
        venue.answers = [Response(503, b"", "")]
        assert not await venue.dead_man.beat()
        assert (venue.lapses, venue.dead_man.lapsed) == (1, True)
    assert await venue.dead_man.beat()
    assert (venue.lapses, venue.dead_man.lapsed) == (1, False)
    assert venue.news.counts[Value.HEARTBEAT_LAPSES] == 1


async def test_a_beat_that_comes_too_late_is_a_lapse_too():
    venue = Venue()
    assert await venue.dead_man.beat()
    venue.now_ns += 11 * S  # this process was stopped meanwhile
    assert await venue.dead_man.beat()
    assert venue.lapses == 1


async def test_after_a_kill_it_is_silent_and_then_begins_anew():
    venue = Venue()
    task = asyncio.create_task(venue.dead_man.run(0.001))
    while not venue.bodies:
        await asyncio.sleep(0.001)
    venue.quiet = True
    await asyncio.sleep(0.01)
    told = len(venue.bodies)
    venue.now_ns += 100 * S
    await asyncio.sleep(0.01)
    assert len(venue.bodies) == told
    venue.quiet = False
    while len(venue.bodies) == told:
        await asyncio.sleep(0.001)
    task.cancel()
    assert venue.bodies[told] == b'{"heartbeat_id":""}'
    assert venue.lapses == 0
