"""What the venue says of an account, each answer whole or not at all.

A listing is read to its last page; a page that is refused, unreadable or missing refuses the
listing, because a part of it would make an open order look gone. A single balance is a cache of
the venue's: ``fresh`` makes it read the chain before it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from overround.errors import VenueError
from overround.execute.http.answer import Response
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import (
    CURSOR_START,
    Page,
    decode_balance,
    decode_open_orders,
    decode_trades,
)
from overround.venues.polymarket.records import UserOrder, UserTrade

__all__ = ["PAGES_MAX", "Answers", "VenueReader"]

PAGES_MAX: Final = 1_000
"""A listing longer than this never ends: it is refused whole."""

Item = TypeVar("Item")


class _Caller(Protocol):
    async def call(self, request: rest.Request, /) -> Response: ...


class Answers(Protocol):
    """What an account's comparison asks for."""

    async def open_orders(self) -> list[UserOrder]:
        """Return every open order of the account."""

    async def trades(self, after_ms: int) -> list[UserTrade]:
        """Return every trade of the account matched from ``after_ms`` (wall time) on."""

    async def cash(self, *, fresh: bool = False) -> int:
        """Return the balance of collateral in micro-units."""

    async def shares(self, token: str, *, fresh: bool = False) -> int:
        """Return the balance of an outcome token in lots."""


class VenueReader:
    """Questions to the venue. All raise VenueError, NotSent or NoAnswer."""

    def __init__(self, client: _Caller, signature_type: int) -> None:
        self._client = client
        self._signature_type = signature_type

    async def open_orders(self) -> list[UserOrder]:
        """Return every open order of the account."""
        return await self._listing("open orders", rest.open_orders, decode_open_orders)

    async def trades(self, after_ms: int) -> list[UserTrade]:
        """Return every trade of the account matched from ``after_ms`` (wall time) on."""
        after_s = max(0, after_ms) // 1_000

        def page(cursor: str) -> rest.Request:
            return rest.trades(cursor, after_s=after_s)

        return await self._listing("trades", page, decode_trades)

    async def cash(self, *, fresh: bool = False) -> int:
        """Return the balance of collateral in micro-units."""
        return await self._balance("", fresh)

    async def shares(self, token: str, *, fresh: bool = False) -> int:
        """Return the balance of an outcome token in lots."""
        return await self._balance(token, fresh)

    async def _balance(self, token: str, fresh: bool) -> int:
        if fresh:
            await self._client.call(rest.balance(self._signature_type, token, update=True))
        answer = await self._client.call(rest.balance(self._signature_type, token))
        return decode_balance(answer.status, answer.body).balance_micro

    async def _listing(
        self,
        what: str,
        request: Callable[[str], rest.Request],
        decode: Callable[[int, bytes], Page[Item]],
    ) -> list[Item]:
        items: list[Item] = []
        cursor = CURSOR_START
        for _ in range(PAGES_MAX):
            answer = await self._client.call(request(cursor))
            page = decode(answer.status, answer.body)
            if page.problems:
                raise VenueError(f"{what}: {page.problems[0]}", retryable=True)
            items += page.items
            if page.next_cursor is None:
                return items
            cursor = page.next_cursor
        raise VenueError(f"{what}: more than {PAGES_MAX} pages", retryable=True)
