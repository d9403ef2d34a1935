"""The venue's dead-man switch: as long as we beat, our orders live.

Once begun, the venue cancels every open order of the credentials 10 to 15 s after the last good
beat: of a process that is dead, stopped, or cut off. After a kill that cancels we do not beat, so
that a cancel which never arrives is made up for by the venue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from overround.clock import NS_PER_S
from overround.errors import OverroundError
from overround.execute.client import Response
from overround.execute.news import News
from overround.observe.metrics import Value
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import decode_heartbeat

__all__ = ["DeadMan"]

LAPSE_NS: Final = 10 * NS_PER_S
"""Without a good beat for this long the venue cancels."""
SWEEP_NS: Final = 5 * NS_PER_S
"""How much later it may do so."""
RETRY_S: Final = 0.5
BEAT_S: Final = 2.0
"""A beat without an answer for so long is lost: waiting on would use up the next one's time."""


class DeadMan:
    """Beats for one account's credentials."""

    def __init__(
        self,
        call: Callable[[rest.Request], Awaitable[Response]],
        news: News,
        *,
        quiet: Callable[[], bool],
        clock: Callable[[], int],
        on_lapse: Callable[[], None],
    ) -> None:
        self._call = call
        self._news = news
        self._quiet = quiet
        self._clock = clock
        self._on_lapse = on_lapse
        self._id = ""
        self.good_ns = 0
        """When the last good beat was sent; 0 while none counts."""
        self.lapsed = False
        """Whether the venue must have cancelled everything since the last good beat."""

    async def run(self, interval_s: float) -> None:
        """Beat every ``interval_s`` until cancelled; sooner after a failure."""
        while True:
            if self._quiet():
                self.good_ns = 0
                self._id = ""
            elif not await self.beat():
                await asyncio.sleep(min(RETRY_S, interval_s))
                continue
            await asyncio.sleep(interval_s)

    async def beat(self) -> bool:
        """Beat once, and once more with the id that the venue expects; return whether it counts."""
        begun_ns = self._clock()
        try:
            async with asyncio.timeout(BEAT_S):
                counted = await self._send() or await self._send()
        except TimeoutError:
            counted = False
            self._news.notice("heartbeat failed", error=f"no answer within {BEAT_S:g} s")
        except OverroundError as error:
            counted = False
            self._news.notice("heartbeat failed", error=str(error))
        if counted:
            late_ns = begun_ns - self.good_ns if self.good_ns else 0
            self.good_ns = begun_ns
            self._news.count(Value.HEARTBEATS)
            self._judge(late_ns)
            self.lapsed = False
            return True
        self._news.count(Value.HEARTBEATS_FAILED)
        if self.good_ns:
            self._judge(self._clock() - self.good_ns - SWEEP_NS)
        return False

    async def _send(self) -> bool:
        answer = await self._call(rest.heartbeat(self._id))
        self._id, counted = decode_heartbeat(answer.status, answer.body)
        return counted

    def _judge(self, late_ns: int) -> None:
        """Tell once that the venue has cancelled what rested."""
        if late_ns <= LAPSE_NS or self.lapsed:
            return
        self.lapsed = True
        self._news.count(Value.HEARTBEAT_LAPSES)
        self._news.notice(
            "heartbeat lapsed: the venue cancels what rests", late_ms=late_ns // 1_000_000
        )
        self._on_lapse()
