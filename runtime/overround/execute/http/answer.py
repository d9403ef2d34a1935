"""How a request can end: an answer, no answer, or never sent.

The two failures are told apart because they mean opposite things for an order: ``NotSent`` (no
byte left) and ``NoAnswer`` (bytes may have arrived). Nothing below the resolver repeats a request.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import NamedTuple, Protocol

from overround.decide.risk import RefusalCode
from overround.errors import OverroundError
from overround.venues.polymarket.rest import Request

__all__ = ["Kind", "NoAnswer", "NotSent", "OpenSlot", "Response", "Slot", "Wire"]


class Kind(IntEnum):
    """What a request is for; a lower number goes first."""

    CANCEL = 0
    ORDER = 1
    QUERY = 2


class NotSent(OverroundError):
    """No byte left this machine; ``code`` says why as an intent's refusal would."""

    def __init__(self, message: str, code: RefusalCode = RefusalCode.NO_CONNECTION) -> None:
        super().__init__(message)
        self.code = code


class NoAnswer(OverroundError):
    """Bytes may have left and no whole answer came: the outcome is unknown."""


class Response(NamedTuple):
    """Status, body, and the Retry-After header ("" without one)."""

    status: int
    body: bytes
    retry_after: str


class Slot(Protocol):
    """The right to make one request now."""

    def send(self, request: Request, deadline_ns: int) -> asyncio.Future[Response]:
        """Send within this loop turn; the future brings the Response or NoAnswer.

        Raises NotSent if no byte could be written. The slot is used up either way.
        """

    def release(self) -> None:
        """Give it back unused."""


class OpenSlot(Slot, Protocol):
    """A slot whose bytes somebody else may write."""

    @property
    def socket(self) -> int:
        """Where they may be written at once; -1 if nowhere."""

    def sent(self, rest: bytes, deadline_ns: int, what: str) -> asyncio.Future[Response]:
        """As ``send`` for a request of which all but ``rest`` was written already."""


class Wire(Protocol):
    """What carries requests: our own connections, or an official client."""

    def take(self, kind: Kind) -> Slot | None:
        """Return a slot if there is one at once."""

    def take_unseen(self, kind: Kind) -> Slot | None:
        """As ``take``; who writes to its ``socket`` looks first whether that is quiet."""

    async def wait(self, kind: Kind, deadline_ns: int) -> Slot:
        """Return a slot; NotSent if there is none by the deadline, or cannot be."""

    async def close(self) -> None:
        """Close everything; what is under way has no answer."""
