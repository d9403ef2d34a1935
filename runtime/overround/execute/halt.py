"""The kill latch obeyed: nothing more is sent, everything open is cancelled, both are answered.

Who sets the latch is of no matter. The gate and ``Executor.begin`` read it themselves before
every send; what is here cancels what rests, goes on until the venue has confirmed a cancel that
no order of ours can have overtaken, and writes both times beside the latch, where ``overround
kill`` waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from overround import clock
from overround.config.schema import Settings
from overround.errors import OverroundError
from overround.execute.account import obtain_credentials
from overround.execute.client import VenueClient
from overround.execute.order import OrderState
from overround.execute.store import Store
from overround.execute.venueview import VenueReader
from overround.shm.kill import KillLatch, KillReason
from overround.shm.process import forbid_core_dumps
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import CancelAnswer, decode_cancel
from overround.venues.polymarket.auth import Signer

__all__ = ["KillSwitch", "cancel_everything", "under_way"]

RETRY_S: Final = 0.05
RETRY_MAX_S: Final = 1.0
LOOKS_MAX: Final = 5
"""Looks at what is left after a cancel-all, each followed by a cancel of that by id."""


class KillSwitch:
    """Watches the latch for one account."""

    def __init__(
        self,
        latch: KillLatch,
        store: Store,
        cancel_all: Callable[[], Awaitable[bool]],
        *,
        clock: Callable[[], int],
        on_resume: Callable[[int], Awaitable[None]],
    ) -> None:
        self._latch = latch
        self._store = store
        self._cancel_all = cancel_all
        self._clock = clock
        self._on_resume = on_resume
        self._log = structlog.get_logger()
        self._reason = 0
        """What the latch that is obeyed was set for; 0 while none is."""

    @property
    def resuming(self) -> bool:
        """Whether the latch was cleared, and what that means is not yet carried out."""
        return self._reason != 0 and not self._latch.is_set()

    async def run(self, interval_s: float) -> None:
        """Obey until cancelled, looking every ``interval_s``."""
        while True:
            if not self._latch.is_set():
                if self._reason:
                    self._log.warning("kill latch cleared: trading again", was=_name(self._reason))
                    await self._on_resume(self._reason)
                self._reason = 0
            elif not self._reason or self._latch.stopped_ns < self._latch.set_ns:  # or set anew
                self._reason = self._latch.reason
                await self._obey(self._reason)
            await asyncio.sleep(interval_s)

    async def _obey(self, reason: int) -> None:
        self._log.error("kill latch is set: nothing more is sent", reason=_name(reason))
        self._latch.answer_stopped(self._clock())
        if reason == KillReason.HOLD:
            return
        delay_s = RETRY_S
        while self._latch.is_set():
            asked_ns, overtakes = self._clock(), under_way(self._store)
            if await self._cancel_all() and not overtakes:
                # The time it was asked for: an answer to an earlier kill is older than this one.
                self._latch.answer_cancelled(asked_ns)
                self._log.warning("everything open is cancelled", reason=_name(reason))
                return
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_MAX_S)


def under_way(store: Store) -> bool:
    """Return whether an order may still reach the book after a cancel that is sent now."""
    return any(
        order.in_flight or order.state in (OrderState.UNKNOWN, OrderState.DELAYED)
        for order in store.working.values()
    )


def _name(reason: int) -> str:
    known = reason in KillReason.__members__.values()
    return KillReason(reason).name.lower() if known else str(reason)


async def cancel_everything(settings: Settings, private_key: str) -> int:
    """Cancel all open orders of an account without its executor; return how many were cancelled.

    The venue may pass orders over (py-clob-client#166): it is asked until it lists none. Raises
    VenueError, NotSent, NoAnswer or OverroundError with one line if it did not confirm that.
    """
    forbid_core_dumps()
    async with VenueClient(
        settings.venue.rest_url,
        Signer(private_key),
        chain_id=settings.venue.chain_id,
        timeout_ms=settings.venue.request_timeout_ms,
        epoch_s=clock.epoch_s,
    ) as client:
        client.credentials = await obtain_credentials(client)
        reader = VenueReader(client, settings.account.signature_type)
        cancelled = set((await _ask(client, rest.cancel_all(), 1)).canceled)
        for _ in range(LOOKS_MAX):
            left = [order.order_id for order in await reader.open_orders()]
            if not left:
                return len(cancelled)
            some = left[: rest.CANCELS_MAX]
            done = await _ask(client, rest.cancel_orders(some), len(some))
            cancelled.update(done.canceled)
            await asyncio.sleep(RETRY_S)
        why = next(iter(done.not_canceled.values()), "the venue still lists them")
        raise OverroundError(f"{len(left)} orders were not cancelled: {why}")


async def _ask(client: VenueClient, request: rest.Request, cost: int) -> CancelAnswer:
    answer = await client.call(request, cost=cost)
    return decode_cancel(answer.status, answer.body)
