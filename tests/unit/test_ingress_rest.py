"""Books by REST over a real server: batches, deadlines, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

from oracle.venue_script import ScriptBook, VenueScript
from overround.config.schema import Venue
from overround.ingress.rest import BOOKS_PER_REQUEST, REQUESTS_MAX, BookFetcher


class Answers:
    """Writes down what came back."""

    def __init__(self) -> None:
        self.books: list[tuple[bytes, list[int]]] = []
        self.failures: list[str] = []
        self.changed = asyncio.Event()

    def on_books(self, body: bytes, recv_ns: int, markets: Sequence[int]) -> None:
        assert recv_ns > 0
        self.books.append((body, list(markets)))
        self.changed.set()

    def on_failed(self, reason: str) -> None:
        self.failures.append(reason)
        self.changed.set()

    async def until(self, claim: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not claim():
                self.changed.clear()
                await self.changed.wait()


def fetcher(
    url: str, answers: Answers, *, timeout_ms: int = 5_000, bytes_max: int = 2**20
) -> BookFetcher:
    def fatal(error: BaseException) -> None:
        raise error

    return BookFetcher(
        Venue(rest_url=url, request_timeout_ms=timeout_ms),
        answer_bytes_max=bytes_max,
        on_books=answers.on_books,
        on_failed=answers.on_failed,
        on_fatal=fatal,
    )


def book(index: int) -> ScriptBook:
    return ScriptBook(f"0x{index:064x}", f"y{index}", f"n{index}", {5_000: 10}, {5_100: 10})


async def test_books_come_back_as_bytes_with_the_markets_asked_for() -> None:
    async with VenueScript([book(0), book(1)]) as venue:
        answers = Answers()
        books = fetcher(venue.rest_url, answers)
        books.fetch((7, 8), ("y0", "y1"))
        await answers.until(lambda: answers.books)
        ((body, markets),) = answers.books
        assert markets == [7, 8]
        assert [item["asset_id"] for item in json.loads(body)] == ["y0", "y1"]
        await books.stop()


async def test_many_books_are_asked_for_in_parts_a_few_at_a_time() -> None:
    async with VenueScript() as venue:
        venue.rest_gate.clear()
        answers = Answers()
        books = fetcher(venue.rest_url, answers)
        count = BOOKS_PER_REQUEST * (REQUESTS_MAX + 2) + 1
        books.fetch(range(count), [str(index) for index in range(count)])
        await venue.until(lambda: len(venue.rest_requests) == REQUESTS_MAX)
        venue.rest_gate.set()
        await answers.until(lambda: len(answers.books) == REQUESTS_MAX + 3)
        asked = [token for tokens in venue.rest_requests for token in tokens]
        assert sorted(asked, key=int) == [str(index) for index in range(count)]
        assert max(len(tokens) for tokens in venue.rest_requests) == BOOKS_PER_REQUEST
        await books.stop()


async def test_refusal_silence_length_and_a_dead_port_are_told_not_raised() -> None:
    answers = Answers()
    async with VenueScript([book(0)]) as venue:
        venue.rest_status = 503
        plain = fetcher(venue.rest_url, answers, timeout_ms=200)
        plain.fetch((0,), ("y0",))
        await answers.until(lambda: len(answers.failures) == 1)
        venue.rest_status = 200
        venue.rest_gate.clear()
        plain.fetch((0,), ("y0",))
        await answers.until(lambda: len(answers.failures) == 2)
        venue.rest_gate.set()
        short = fetcher(venue.rest_url, answers, bytes_max=10)
        short.fetch((0,), ("y0",))
        await answers.until(lambda: len(answers.failures) == 3)
    plain.fetch((0,), ("y0",))
    await answers.until(lambda: len(answers.failures) == 4)
    assert "503" in answers.failures[0]
    assert "Timeout" in answers.failures[1]
    assert "longer than" in answers.failures[2]
    assert "Connect" in answers.failures[3]
    assert answers.books == []
    await plain.stop()
    await short.stop()


async def test_stopping_gives_up_what_is_in_flight() -> None:
    async with VenueScript([book(0)]) as venue:
        venue.rest_gate.clear()
        answers = Answers()
        books = fetcher(venue.rest_url, answers)
        books.fetch((0,), ("y0",))
        await venue.until(lambda: venue.rest_requests)
        await books.stop()
        assert answers.books == []
        assert answers.failures == []
        venue.rest_gate.set()
