"""How far the user channel may be believed: only from a comparison begun while it listens.

::

    LOST ──first frame──▶ CONNECTED ──complete comparison begun since──▶ TRUSTED
      ▲                       ▲                                            │
      └────── socket lost ────┴── unreadable frame, or an event it missed ─┘

Nothing is replayed after a reconnect, and events can be missing while the socket looks well. So
whatever opens a gap asks for a comparison by REST, and while the channel is not trusted
comparisons come often. Orders go on meanwhile: their outcomes are proved by REST either way.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from overround.clock import NS_PER_MS
from overround.execute.news import News

__all__ = ["COMPARE_MS", "ChannelTrust", "Standing"]

COMPARE_MS: Final = 1_000
"""Comparisons are at most this far apart while the channel is not trusted."""


class Standing(IntEnum):
    """What is known of the channel."""

    LOST = 0
    CONNECTED = 1
    TRUSTED = 2


class ChannelTrust:
    """The standing of one account's user channel and since when (monotonic nanoseconds)."""

    def __init__(self, news: News, clock: Callable[[], int]) -> None:
        self._news = news
        self._clock = clock
        self.standing = Standing.LOST
        self.since_ns = clock()
        self.gap_from_ns = self.since_ns
        """From when events may be missing, if it is not trusted."""

    @property
    def trusted(self) -> bool:
        """Whether no event can be missing, as far as comparisons have shown."""
        return self.standing is Standing.TRUSTED

    def _become(self, standing: Standing) -> None:
        now_ns = self._clock()
        if self.trusted:
            self.gap_from_ns = now_ns
        self.standing, self.since_ns = standing, now_ns

    def connected(self) -> None:
        """Note that the venue answers on a socket that has logged in."""
        self._become(Standing.CONNECTED)

    def lost(self) -> None:
        """Note that the socket is gone."""
        self._become(Standing.LOST)

    def doubted(self, reason: str) -> None:
        """Note that an event was missed or could not be read."""
        if self.trusted:
            self._news.notice("user channel not trusted", reason=reason)
        if self.standing is not Standing.LOST:
            self._become(Standing.CONNECTED)

    def compared(self, asked_ns: int) -> bool:
        """Note a complete comparison begun at ``asked_ns``; return whether it brought trust."""
        if self.standing is not Standing.CONNECTED or asked_ns < self.since_ns:
            return False
        gap_ms = (asked_ns - self.gap_from_ns) // NS_PER_MS
        self._become(Standing.TRUSTED)
        self._news.notice("user channel trusted", gap_ms=gap_ms)
        return True

    def wait_ms(self, interval_ms: int) -> int:
        """Return how long the next comparison may wait, given the usual interval."""
        return interval_ms if self.trusted else min(interval_ms, COMPARE_MS)
