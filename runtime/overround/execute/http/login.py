"""A login that the venue refuses: derived again and tried, while orders wait for the proof.

The key that the wallet and nonce give is the same for ever, unless it was revoked and made anew.
Another key is another owner than the one in signed orders and in trades: who trades with it has
to take it up (``adopt``) before orders go on; until then, or where nobody does, only cancels do.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from overround.errors import OverroundError
from overround.execute.http.answer import Response
from overround.execute.http.guard import Guard
from overround.execute.http.trouble import ROWS, Trouble
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import decode_credentials
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.rest import Request

__all__ = ["LoginKeeper"]


class Caller(Protocol):
    """What the keeper needs of the client."""

    credentials: Credentials | None

    async def call(self, request: Request) -> Response:
        """Make one request."""


class LoginKeeper:
    """Stops orders at the first refusal of a login, and finds out whether they may go on."""

    def __init__(
        self,
        caller: Caller,
        guard: Guard,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.adopt: Callable[[Credentials], None] | None = None
        """Takes up another key that the venue has just accepted, in this very turn."""
        self._caller = caller
        self._guard = guard
        self._spawn = spawn
        self._owner = ""
        self._running = False

    def refused(self) -> None:
        """Take note of a refusal; returns at once."""
        if not self._running:
            self._running = True
            self._guard.stop_orders(Trouble.LOGIN, "deriving the key again")
            self._spawn(self._renew())

    async def _renew(self) -> None:
        pause_s = ROWS[Trouble.LOGIN].first_s
        while True:
            try:
                problem = await self._try()
            except OverroundError as error:
                problem = str(error)
            if not problem:
                break
            self._guard.stop_orders(Trouble.LOGIN, problem)
            await sleep(pause_s)
            pause_s = min(ROWS[Trouble.LOGIN].most_s, 2 * pause_s)
        self._running = False
        self._guard.resume(Trouble.LOGIN)

    async def _try(self) -> str:
        """Derive the key and use it once; return what is wrong, "" if nothing is."""
        caller = self._caller
        if not self._owner and caller.credentials is not None:
            self._owner = caller.credentials.api_key
        answer = await caller.call(rest.derive_api_key())
        credentials = decode_credentials(answer.status, answer.body)
        caller.credentials = credentials
        other = credentials.api_key != self._owner
        if other and self.adopt is None:
            return "the venue gave another key: start the executor again to trade with it"
        answer = await caller.call(rest.api_keys())
        if answer.status != 200:
            return f"the key is refused: HTTP {answer.status}"
        if other and self.adopt is not None:
            self.adopt(credentials)
            self._owner = credentials.api_key
        return ""
