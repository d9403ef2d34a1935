"""Requests to the venue: one attempt, a deadline, a budget, and an honest failure.

Two failures are told apart because they mean opposite things for an order: ``NotSent`` (no byte
left) and ``NoAnswer`` (bytes may have arrived). Nothing is repeated here.

A request passes three gates: no trouble of the venue holds its kind back, its rate tokens are
there, a connection is free. Cancels pass the first always, and have tokens and a connection that
nobody else may take. ``lease`` waits for all three and ``send`` then writes in the same turn of
the loop, so that the caller can journal between the two, with nothing awaited in between.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Any, Final, Self, cast

import aiohttp

from overround import clock
from overround.config.schema import Execute
from overround.decide.risk import RefusalCode
from overround.execute.http.answer import (
    Kind,
    NoAnswer,
    NotSent,
    OpenSlot,
    Response,
    Slot,
    Wire,
)
from overround.execute.http.budget import TokenBucket
from overround.execute.http.chores import Chores
from overround.execute.http.dial import Origin
from overround.execute.http.guard import Guard
from overround.execute.http.head import RequestEncoder
from overround.execute.http.login import LoginKeeper
from overround.execute.http.pool import Pool, PoolLimits
from overround.execute.http.trouble import Trouble
from overround.execute.http.venueclock import VenueClock
from overround.execute.news import News
from overround.observe.metrics import Histogram, Value
from overround.venues.polymarket.auth import Credentials, Signer
from overround.venues.polymarket.rest import Auth, Request

__all__ = ["Kind", "Lease", "NoAnswer", "NotSent", "Response", "VenueClient"]

_ORDER: Final = Kind.ORDER
CANCEL_ALL: Final = frozenset({"/cancel-all", "/cancel-market-orders", "/v1/heartbeats"})
"""What never waits for tokens: it ends risk, and is rare."""


def kind_of(request: Request) -> Kind:
    """Return what a request is for. The dead-man's beat goes with the cancels."""
    if request.path in ("/order", "/orders"):
        return Kind.ORDER if request.method == "POST" else Kind.CANCEL
    return Kind.CANCEL if request.path in CANCEL_ALL else Kind.QUERY


class Lease:
    """The right to send one request now. Use it at once: ``send`` or ``release``."""

    __slots__ = ("_client", "_cost", "_deadline_ns", "_kind", "_slot")

    def __init__(
        self, client: VenueClient, slot: Slot, kind: Kind, cost: int, deadline_ns: int
    ) -> None:
        self._client = client
        self._slot = slot
        self._kind = kind
        self._cost = cost
        self._deadline_ns = deadline_ns

    def send(self, request: Request) -> asyncio.Future[Response]:
        """Write the request in this turn of the loop; the future brings Response or NoAnswer.

        Raises NotSent, with no byte written, if the connection has just gone.
        """
        answer = self._slot.send(request, self._deadline_ns)
        answer.add_done_callback(lambda done: self._client.judge(self._kind, request, done))
        return answer

    @property
    def socket(self) -> int:
        """Where the request may be written at once; -1 if only ``sent`` can write it."""
        return cast(OpenSlot, self._slot).socket

    def sent(self, request: Request, rest: bytes) -> asyncio.Future[Response]:
        """As ``send`` for a request of which all but ``rest`` was written already.

        Only for leases of our own connections.
        """
        what = f"{request.method} {request.path}"
        answer = cast(OpenSlot, self._slot).sent(rest, self._deadline_ns, what)
        answer.add_done_callback(lambda done: self._client.judge(self._kind, request, done))
        return answer

    def release(self) -> None:
        """Give everything back unused."""
        self._slot.release()
        self._client.give_back(self._kind, self._cost)


class VenueClient:
    """One venue with one account's proofs. Use as an async context.

    ``wire`` carries the requests; by default it is our own pool of connections.
    """

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        *,
        chain_id: int,
        timeout_ms: int,
        epoch_s: Callable[[], int],
        settings: Execute | None = None,
        news: News | None = None,
        now_ns: Callable[[], int] = clock.monotonic_ns,
        epoch_ms: Callable[[], int] = clock.epoch_ms,
        random: Random | None = None,
        tls: ssl.SSLContext | None = None,
        wire: Wire | None = None,
    ) -> None:
        settings = settings or Execute()
        self._news: News = news or NoNews()
        self._now_ns = now_ns
        self._timeout_ns = timeout_ms * clock.NS_PER_MS
        self._encode = RequestEncoder(
            Origin.parse(base_url), signer, chain_id=chain_id, epoch_s=epoch_s
        )
        self.wire: Wire = wire or Pool(
            Origin.parse(base_url),
            self._encode,
            self._news,
            limits=PoolLimits(
                settings.connections,
                settings.connection_requests_max,
                settings.connection_age_max_s * clock.NS_PER_S,
            ),
            clock=now_ns,
            random=random or Random(signer.address),
            tls=tls,
            on_failure=self._broken,
        )
        self._orders = TokenBucket(
            settings.order_tokens_per_s, settings.order_tokens_burst, now_ns()
        )
        self._cancels = TokenBucket(
            settings.cancel_tokens_per_s, settings.cancel_tokens_burst, now_ns()
        )
        self._cancels_kept = min(settings.cancel_tokens_reserve, settings.cancel_tokens_burst // 2)
        self.guard = Guard(self._news, now_ns)
        """What holds requests back now."""
        self.clock = VenueClock(
            self.call, self.guard, self._news,
            epoch_ms=epoch_ms, offset_max_ms=settings.clock_offset_max_ms,
        )  # fmt: skip
        self._chores = Chores(self._broken)
        self._login = LoginKeeper(self, self.guard, self._chores.spawn)
        self.on_failure: Callable[[BaseException], None] | None = None
        """Told once if something that runs beside the requests failed, which is a bug."""
        self._failure: BaseException | None = None
        self._session: aiohttp.ClientSession | None = None
        self._started = False

    @property
    def credentials(self) -> Credentials | None:
        """Set once they are known; requests that need them raise VenueError before."""
        return self._encode.credentials

    @credentials.setter
    def credentials(self, credentials: Credentials | None) -> None:
        self._encode.credentials = credentials

    def on_new_key(self, adopt: Callable[[Credentials], None]) -> None:
        """Say who takes up another key, should the venue give one: orders stop without."""
        self._login.adopt = adopt

    def order_head(self) -> tuple[bytes, bytes]:
        """Return what the requests of all orders have in common; see ``RequestEncoder``."""
        return self._encode.order_head()

    # -- life ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._chores.end()
        await self.wire.close()
        await self._session.close()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session of the user socket; REST does not use it."""
        assert self._session is not None, "client is not open"
        return self._session

    def _broken(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            if self.on_failure is not None:
                self.on_failure(error)

    def _start(self) -> None:
        """Begin with the first request: who sends none needs no venue."""
        if not self._started:
            self._started = True
            self._chores.spawn(self.clock.run())

    # -- requests ------------------------------------------------------------------------

    def try_lease(self, kind: Kind, cost: int = 1, *, post_only: bool = False) -> Lease | None:
        """Return a lease if all is there at once; None if it has to be waited for.

        Raises NotSent, with reason and end, if requests of this kind are held back.
        """
        self.guard.check(kind, post_only=post_only)
        now_ns = self._now_ns()
        if kind is Kind.ORDER and self._orders.wait_ns(cost, now_ns):
            return None
        if kind is Kind.CANCEL and self._cancels.wait_ns(cost, now_ns, keep=self._cancels_kept):
            return None
        slot = self.wire.take(kind)
        if slot is None:
            return None
        self._spend(kind, cost, now_ns)
        return Lease(self, slot, kind, cost, now_ns + self._timeout_ns)

    def try_order(self, *, post_only: bool = False) -> Lease | None:
        """As ``try_lease`` for one order, but who writes to its ``socket`` looks first."""
        self.guard.check(_ORDER, post_only=post_only)
        now_ns = self._now_ns()
        if not self._orders.take(1, now_ns):
            return None
        slot = self.wire.take_unseen(_ORDER)
        if slot is None:
            self._orders.give_back(1)
            return None
        return Lease(self, slot, _ORDER, 1, now_ns + self._timeout_ns)

    async def lease(
        self,
        kind: Kind,
        cost: int = 1,
        *,
        post_only: bool = False,
        until_ns: int | None = None,
        urgent: bool = False,
    ) -> Lease:
        """Wait for the right to send; at most the request's deadline, or ``until_ns``.

        ``cost`` is how many orders are placed or ids cancelled; ``urgent`` waits for no tokens.
        Raises NotSent with the reason.
        """
        self._start()
        begun_ns = self._now_ns()
        deadline_ns = begun_ns + self._timeout_ns
        limit_ns = deadline_ns if until_ns is None else min(deadline_ns, until_ns)
        try:
            self.guard.check(kind, post_only=post_only)
            await self._tokens(kind, cost, limit_ns, urgent=urgent)
            try:
                slot = await self.wire.wait(kind, limit_ns)
            except BaseException:
                self.give_back(kind, cost)
                raise
            lease = Lease(self, slot, kind, cost, deadline_ns)
            try:
                self.guard.check(kind, post_only=post_only)  # it may have begun meanwhile
            except NotSent:
                lease.release()
                raise
        except NotSent:
            if kind is Kind.ORDER:
                self._news.count(Value.ORDERS_HELD, cost)
            raise
        self._news.time(Histogram.HTTP_WAIT, self._now_ns() - begun_ns)
        return lease

    async def call(self, request: Request, *, cost: int = 1) -> Response:
        """Return the answer to one request. Raises NotSent or NoAnswer, never repeats."""
        urgent = request.path in CANCEL_ALL
        try:
            lease = await self.lease(kind_of(request), cost, urgent=urgent)
        except NotSent as error:
            raise NotSent(f"{request.method} {request.path}: {error}", error.code) from None
        return await lease.send(request)

    async def _tokens(self, kind: Kind, cost: int, limit_ns: int, *, urgent: bool) -> None:
        if kind is Kind.QUERY:
            return
        now_ns = self._now_ns()
        wait_ns = 0
        if kind is Kind.ORDER:
            wait_ns = self._orders.wait_ns(cost, now_ns)
        elif not urgent:
            wait_ns = self._cancels.wait_ns(cost, now_ns, keep=self._cancels_kept)
        if wait_ns and now_ns + wait_ns >= limit_ns:
            text = f"over our budget: tokens for {cost} come in {wait_ns // clock.NS_PER_MS} ms"
            raise NotSent(text, RefusalCode.BUDGET)
        self._spend(kind, cost, now_ns)
        if wait_ns:
            try:
                await asyncio.sleep(wait_ns / clock.NS_PER_S)
            except BaseException:
                self.give_back(kind, cost)
                raise

    def _spend(self, kind: Kind, cost: int, now_ns: int) -> None:
        if kind is not Kind.QUERY:
            (self._orders if kind is Kind.ORDER else self._cancels).spend(cost, now_ns)

    def give_back(self, kind: Kind, cost: int) -> None:
        """Return the tokens of a request that was not sent."""
        if kind is not Kind.QUERY:
            (self._orders if kind is Kind.ORDER else self._cancels).give_back(cost)

    def judge(self, kind: Kind, request: Request, answer: asyncio.Future[Response]) -> None:
        """Take note of how a request ended."""
        if answer.cancelled():
            return
        error = answer.exception()
        what = f"{request.method} {request.path}"
        if isinstance(error, NotSent):
            return  # an official client finds out only then; who sent it says so
        if error is not None:
            self._news.count(Value.HTTP_NO_ANSWER)
            self._news.notice("no answer", code=kind.name, error=str(error))
            return
        login = request.auth is Auth.L2
        if self.guard.judge(kind, what, answer.result(), login=login) is Trouble.LOGIN:
            self._login.refused()


class NoNews:
    """Nobody is told: for tools that call the venue once."""

    def count(self, value: Value, n: int = 1) -> None:
        """Do nothing."""

    def gauge(self, value: Value, number: int) -> None:
        """Do nothing."""

    def time(self, stage: Histogram, elapsed_ns: int) -> None:
        """Do nothing."""

    def report(self, kind: object, intent: object, **values: Any) -> None:
        """Do nothing."""

    def notice(self, event: str, /, **values: object) -> None:
        """Do nothing."""
