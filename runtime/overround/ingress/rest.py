"""Books by REST, for markets the stream does not vouch for: bounded, one deadline, never fatal.

The answer goes to the owner as bytes; what it proves is decided there. A request that fails is
told and forgotten, because whoever wanted the books asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import aiohttp

from overround.clock import monotonic_ns
from overround.config.schema import Venue
from overround.venues.polymarket import rest

__all__ = ["BOOKS_PER_REQUEST", "BookFetcher"]

BOOKS_PER_REQUEST = 100
"""The venue limits a request by bytes, near 500 books; long books make that fewer."""

REQUESTS_MAX = 4
"""Requests in flight at once."""

_QUEUED_MAX = 256
"""Requests waiting at most; more are dropped and asked for again by the market's own timer."""


class BookFetcher:
    """Fetches books in the background of a running loop."""

    def __init__(
        self,
        venue: Venue,
        *,
        answer_bytes_max: int,
        on_books: Callable[[bytes, int, Sequence[int]], None],
        on_failed: Callable[[str], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """``on_books`` gets the answer, its receive time, and the markets asked for."""
        self._url = venue.rest_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=venue.request_timeout_ms / 1_000)
        self._answer_bytes_max = answer_bytes_max
        self._on_books = on_books
        self._on_failed = on_failed
        self._on_fatal = on_fatal
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(REQUESTS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def fetch(self, markets: Sequence[int], tokens: Sequence[str]) -> None:
        """Ask for the books of ``tokens``, which belong to ``markets`` one to one."""
        for start in range(0, len(tokens), BOOKS_PER_REQUEST):
            if len(self._tasks) >= _QUEUED_MAX:
                self._on_failed("too many book requests are waiting")
                return
            part = slice(start, start + BOOKS_PER_REQUEST)
            task = asyncio.get_running_loop().create_task(self._ask(markets[part], tokens[part]))
            self._tasks.add(task)
            task.add_done_callback(self._on_done)

    async def stop(self) -> None:
        """Give up what is in flight and close the connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _ask(self, markets: Sequence[int], tokens: Iterable[str]) -> None:
        async with self._places:
            if self._session is None:
                self._session = aiohttp.ClientSession(timeout=self._timeout)
            request = rest.books(list(tokens))
            try:
                async with self._session.request(
                    request.method,
                    self._url + request.path,
                    data=request.body,
                    headers={"Content-Type": "application/json"},
                ) as response:
                    body = bytearray()
                    async for chunk in response.content.iter_any():
                        body += chunk
                        if len(body) > self._answer_bytes_max:
                            break
                    recv_ns = monotonic_ns()
                    status = response.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._on_failed(f"{request.path}: {type(error).__name__}: {error}")
                return
        if status != 200:
            self._on_failed(f"{request.path}: status {status}")
        elif len(body) > self._answer_bytes_max:
            self._on_failed(f"{request.path}: answer is longer than {self._answer_bytes_max} bytes")
        else:
            self._on_books(bytes(body), recv_ns, markets)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)
