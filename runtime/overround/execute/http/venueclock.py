"""The venue's clock against ours: measured by ``/time``, shown, and orders stop beyond a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from overround.errors import OverroundError
from overround.execute.http.answer import Response
from overround.execute.http.guard import Guard
from overround.execute.http.trouble import Trouble
from overround.execute.news import News
from overround.observe.metrics import Value
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import decode_time
from overround.venues.polymarket.rest import Request

__all__ = ["VenueClock"]

MEASURE_S: Final = 30.0
MEASURE_AGAIN_S: Final = 2.0
"""After a failed measurement, and while orders are stopped."""
HALF_SECOND_MS: Final = 500
"""The venue tells whole seconds: on average it is half a second further."""


class VenueClock:
    """Knows how far the venue's clock is ahead of ours (ms); None before the first answer."""

    def __init__(
        self,
        call: Callable[[Request], Awaitable[Response]],
        guard: Guard,
        news: News,
        *,
        epoch_ms: Callable[[], int],
        offset_max_ms: int,
    ) -> None:
        self._call = call
        self._guard = guard
        self._news = news
        self._epoch_ms = epoch_ms
        self._offset_max_ms = offset_max_ms
        self.offset_ms: int | None = None

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            good = await self.measure()
            await asyncio.sleep(MEASURE_S if good else MEASURE_AGAIN_S)

    async def measure(self) -> bool:
        """Ask the venue for its time once; return whether it answered and agrees."""
        begun_ms = self._epoch_ms()
        try:
            answer = await self._call(rest.server_time())
            venue_s = decode_time(answer.status, answer.body)
        except OverroundError as error:
            self._news.notice("the venue's time cannot be asked", error=str(error))
            return False
        ended_ms = self._epoch_ms()
        offset_ms = venue_s * 1_000 + HALF_SECOND_MS - (begun_ms + ended_ms) // 2
        doubt_ms = HALF_SECOND_MS + (ended_ms - begun_ms) // 2
        self.offset_ms = offset_ms
        self._news.gauge(Value.CLOCK_OFFSET_MS, offset_ms)
        if abs(offset_ms) - doubt_ms <= self._offset_max_ms:
            self._guard.resume(Trouble.CLOCK)
            return True
        where = "ahead of" if offset_ms > 0 else "behind"
        self._guard.stop_orders(
            Trouble.CLOCK,
            f"the venue is {abs(offset_ms)} ms {where} us, more than {self._offset_max_ms} ms: "
            "set this machine's clock",
        )
        return False
