"""How permitted orders reach the venue: the account's desk over our own connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from overround.execute.account import AccountDesk
from overround.execute.client import Response, VenueClient
from overround.execute.executor import Submission
from overround.venues.polymarket.auth import Credentials

__all__ = ["OrderCarrier"]


class OrderCarrier:
    """Lends connections, and waits for answers in tasks of their own."""

    def __init__(
        self,
        client: VenueClient,
        desk: AccountDesk,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._client = client
        self._desk = desk
        self._spawn = spawn
        self.order_head = client.order_head
        self.lease_now = desk.lease_now

    @property
    def credentials(self) -> Credentials | None:
        """What requests prove."""
        return self._client.credentials

    def follow(self, submission: Submission, answer: asyncio.Future[Response]) -> None:
        """Note that the bytes have left, and wait for the answer."""
        self._spawn(self._desk.follow(submission, answer))
