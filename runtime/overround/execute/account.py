"""The account's life at the venue: orders out, cancels out, doubts resolved, books compared.

This is where the sans-I/O parts meet the connection. Every coroutine here is one errand; the
process decides when it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

from overround.decide.risk import Refusal
from overround.errors import OverroundError, VenueError
from overround.execute.client import Kind, Lease, NoAnswer, NotSent, Response, VenueClient
from overround.execute.executor import Executor, Submission
from overround.execute.news import News
from overround.execute.order import Order, OrderState
from overround.execute.recover import Recovery
from overround.execute.resolve import Remedy, RemedyKind, Resolver, resend
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.execute.trust import ChannelTrust
from overround.execute.venueview import Answers
from overround.layout.intent import IntentFlag
from overround.ledger.records import Cancel, Reconcile
from overround.observe.metrics import Value
from overround.venues.polymarket import rest
from overround.venues.polymarket.answers import (
    decode_cancel,
    decode_credentials,
    decode_order,
    decode_order_answer,
    decode_order_answers,
    no_answer,
)
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.records import UserOrder, UserTrade

__all__ = ["AccountDesk", "obtain_credentials"]

Item = TypeVar("Item")

LOOK_UPS_MAX: Final = 4
"""Orders looked up at one time: cancels and orders need connections too."""
MISSED_AFTER_MS: Final = 2_000
"""A fill that a listing tells of so long after its match was missed by the user channel."""
OVERLAP_MS: Final = 60_000
"""Trades are listed from this long before the last complete comparison."""
ASK_DELAY_S: Final = 0.05
ASK_DELAY_MAX_S: Final = 1.0


async def obtain_credentials(client: VenueClient) -> Credentials:
    """Return the wallet's API credentials: derived if they exist, else created.

    Raises VenueError if the venue gives none, NotSent or NoAnswer if it cannot be asked.
    """
    answer = await client.call(rest.derive_api_key())
    if answer.status != 200:
        answer = await client.call(rest.create_api_key())
    return decode_credentials(answer.status, answer.body)


class AccountDesk:
    """Errands of one account at one venue."""

    def __init__(
        self,
        client: VenueClient,
        core: Executor,
        store: Store,
        settlement: Settlement,
        resolver: Resolver,
        news: News,
        *,
        clock: Callable[[], int],
        epoch_ms: Callable[[], int],
        reader: Answers,
        recovery: Recovery,
    ) -> None:
        self._client = client
        self._core = core
        self._store = store
        self._settlement = settlement
        self._resolver = resolver
        self._news = news
        self._clock = clock
        self._epoch_ms = epoch_ms
        self.reader = reader
        self.recovery = recovery
        self._waiting = 0
        """Submissions that wait for the right to be sent."""
        self._compared_ms = 0
        self._differences: tuple[str, ...] = ()
        self.trust = ChannelTrust(news, clock)
        """Of the user channel, which comparisons restore."""
        self.doubt = asyncio.Event()
        """Set when an outcome is unknown; ``settle_doubts`` waits for it."""

    async def submit(self, submission: Submission) -> None:
        """Send a submission, unless it was refused meanwhile, and apply the answer.

        Everything that may take time is waited for before ``begin``, so that the journal says
        SENT right before the first byte, and never of what stayed here.
        """
        self._waiting += 1
        try:
            lease = await self._lease(submission)
        finally:
            self._waiting -= 1
        if lease is not None:
            answer = self._send(submission, lease)
            if answer is not None:
                await self._receive(submission, answer)

    def send_now(
        self, submission: Submission, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> bool:
        """Send in this very turn of the loop; False, with nothing done, if it has to wait.

        It has to while another one waits: orders leave in the order of their decisions. What is
        left to do when the bytes are written is spawned.
        """
        if self._waiting:
            return False
        try:
            lease = self._client.try_lease(
                Kind.ORDER, len(submission.orders), post_only=_post_only(submission)
            )
        except NotSent:
            return False  # ``submit`` refuses it, with the reason
        if lease is None:
            return False
        answer = self._send(submission, lease)
        if answer is not None:
            spawn(self._receive(submission, answer))
        return True

    def lease_now(self, *, post_only: bool) -> Lease | None:
        """Return the right to send one order in this very turn, None if it has to wait."""
        if self._waiting:
            return None
        try:
            return self._client.try_order(post_only=post_only)
        except NotSent:
            return None  # who goes the usual way is told the reason

    def follow(
        self, submission: Submission, answer: asyncio.Future[Response]
    ) -> Coroutine[Any, Any, None]:
        """Note that somebody else has written a submission; return what waits for its answer."""
        self._core.wrote(submission)
        return self._receive(submission, answer)

    def _send(self, submission: Submission, lease: Lease) -> asyncio.Future[Response] | None:
        """Journal and write a submission; None if it was refused, or nothing could be written."""
        if not self._core.begin(submission):
            lease.release()
            self.doubt.set()
            return None
        try:
            answer = lease.send(submission.request)
        except NotSent as error:
            self._core.unsent(submission, str(error))
            self.doubt.set()
            return None
        self._core.wrote(submission)
        return answer

    async def _receive(self, submission: Submission, answer: asyncio.Future[Response]) -> None:
        """Apply the answer to what was sent."""
        ids = submission.order_ids
        try:
            status, body, again = await answer
        except NotSent as error:  # an official client finds out only then
            self._core.unsent(submission, str(error))
            self.doubt.set()
            return
        except NoAnswer as error:
            self._core.answer(submission, [no_answer(one, str(error)) for one in ids])
            self.doubt.set()
            return
        if len(ids) == 1:
            answers = [decode_order_answer(status, body, ids[0], retry_after=again)]
        else:
            answers = decode_order_answers(status, body, ids, retry_after=again)
        for order in self._core.answer(submission, answers):
            self._settlement.close(order)
        if self._resolver.doubtful():
            self.doubt.set()
        overtaken = [one for one in submission.orders if one.cancel_asked]
        overtaken = [
            one for one in overtaken if one.state is OrderState.LIVE and not one.cancelled_ns
        ]
        if overtaken:  # their cancels came to the venue before them
            await self._cancel_ids([one.order_id for one in overtaken])

    async def _lease(self, submission: Submission) -> Lease | None:
        """Return the right to send, or None: then a first attempt is refused for good."""
        orders = submission.orders
        first = submission.attempt == 1
        try:
            return await self._client.lease(
                Kind.ORDER,
                len(orders),
                post_only=_post_only(submission),
                until_ns=min(one.expires_ns for one in orders) if first else None,
            )
        except NotSent as error:
            if first:
                self._core.refuse(orders, Refusal(error.code, str(error)))
            self.doubt.set()
            return None

    async def cancel(self, orders: Sequence[Order]) -> None:
        """Cancel orders by id, again until the venue answers.

        What its answer does not confirm is found by the next comparison.
        """
        delay_s = ASK_DELAY_S
        while orders and not await self._cancel_ids([order.order_id for order in orders]):
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, ASK_DELAY_MAX_S)
            ended = (OrderState.CLOSED, OrderState.DONE)
            orders = [order for order in orders if order.state not in ended]

    async def _cancel_ids(self, ids: Sequence[str]) -> bool:
        answered = True
        for start in range(0, len(ids), rest.CANCELS_MAX):
            some = ids[start : start + rest.CANCELS_MAX]
            answered &= await self._cancel(rest.cancel_orders(some), cost=len(some))
        return answered

    async def cancel_all(self) -> bool:
        """Cancel everything the credentials have open; return whether the venue answered.

        It may pass orders over (py-clob-client#166): those of ours are then cancelled by id.
        """
        rested = [one for one in self._store.in_state(OrderState.LIVE) if not one.in_flight]
        if not await self._cancel(rest.cancel_all(), cost=1 + len(self._store.working)):
            return False
        missed = [one for one in rested if one.state is OrderState.LIVE and not one.cancelled_ns]
        for one in missed:
            self._store.commit(Cancel(one.order_id, True, "passed over"), self._clock())
        if missed:
            self._news.notice("cancel-all passed orders over", orders=len(missed))
        return await self._cancel_ids([one.order_id for one in missed])

    async def _cancel(self, request: rest.Request, *, cost: int) -> bool:
        try:
            answer = await self._client.call(request, cost=cost)
            done = decode_cancel(answer.status, answer.body)
        except (NotSent, NoAnswer, VenueError) as error:
            self._news.notice("cancel without answer", error=str(error))
            return False
        for order_id in done.canceled:
            order = self._store.by_id.get(order_id)
            if order is not None:
                self._settlement.cancelled(order)
        for order_id in done.not_canceled:
            order = self._store.by_id.get(order_id)
            if order is not None and order.state is OrderState.LIVE:  # else it is looked up anyway
                self._settlement.cancelled(order)
        if done.canceled or done.not_canceled:
            self.doubt.set()
        return True

    async def remedy(self, remedies: Iterable[Remedy]) -> None:
        """Carry out what the resolver wants: cancels in one request, then resends."""
        wanted = list(remedies)
        cancels = [one.order.order_id for one in wanted if one.kind is RemedyKind.CANCEL]
        if cancels:
            await self._cancel_ids(cancels)
        for one in wanted:
            if one.kind is RemedyKind.RESEND:
                await self.submit(resend(one.order))

    async def settle_doubts(self) -> None:
        """Resolve unknown outcomes until cancelled, asking ever more slowly."""
        while True:
            await self.doubt.wait()
            self.doubt.clear()
            delay_s = ASK_DELAY_S
            while self._resolver.waits():
                try:
                    if self._resolver.doubtful():
                        await self.ask()
                except OverroundError as error:
                    self._news.notice("cannot look up orders", error=str(error))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, ASK_DELAY_MAX_S)

    async def ask(self) -> None:
        """Look up every order of unknown outcome once, then the trades, and judge.

        A look-up that fails leaves its own order to the next turn and no other. Raises
        VenueError, NotSent or NoAnswer if all failed, or the trades could not be listed.
        """
        asked_ns = self._clock()
        turns = asyncio.Semaphore(LOOK_UPS_MAX)
        failures: list[OverroundError] = []

        async def look_up(order: Order) -> tuple[Order, UserOrder | None] | None:
            try:
                async with turns:
                    answer = await self._client.call(rest.get_order(order.order_id))
                return order, decode_order(answer.status, answer.body)
            except OverroundError as error:
                self._news.count(Value.LOOK_UPS_FAILED)
                failures.append(error)
                return None

        looked = await asyncio.gather(*map(look_up, self._resolver.doubtful()))
        found = [one for one in looked if one is not None]
        if failures and not found:
            raise failures[0]
        self._settlement.apply(await self._trades())
        judged = (self._resolver.resolve(order, seen, asked_ns) for order, seen in found)
        await self.remedy(one for one in judged if one is not None)

    async def reconcile(self) -> list[str]:
        """Compare orders, trades and cash with the venue; return what differed.

        Raises VenueError, NotSent or NoAnswer if any listing is not complete: nothing of an
        incomplete one is used, except trades, which are facts each by itself.
        """
        asked_ns, asked_ms = self._clock(), self._epoch_ms()
        listing = await self.reader.open_orders()
        self._book_listed(await self._trades(), asked_ms)
        if not self._store.opened:
            await self.recovery.open()
        remedies, differences = self._resolver.sweep(listing, asked_ns)
        orphans, findings = self.recovery.orphans(listing)
        balance, more = await self.recovery.compare_cash(asked_ns)
        findings += more + await self.recovery.compare_shares(asked_ns)
        self.recovery.note("timer", findings)
        differences += [f"{one.code} {one.subject}: {one.action}" for one in findings]
        self._news.count(Value.RECONCILES)
        self._note(balance, len(listing), differences)
        self._compared_ms = asked_ms
        self.trust.compared(asked_ns)
        await self.remedy(remedies)
        if orphans:
            await self._cancel_ids(orphans)
        if self._resolver.doubtful():
            self.doubt.set()
        return differences

    def _book_listed(self, trades: Sequence[UserTrade], asked_ms: int) -> None:
        """Book listed trades; those the user channel should have told of cost it its trust."""
        missed = 0
        for trade in trades:
            known = self._store.positions.knows_trade(trade.trade_id)
            self._settlement.on_trade(trade)
            late = asked_ms - trade.match_epoch_ms > MISSED_AFTER_MS
            missed += late and not known and self._store.positions.knows_trade(trade.trade_id)
        if missed and self.trust.trusted:
            self._news.count(Value.USER_MISSED, missed)
            self.trust.doubted(f"{missed} fills came by a listing alone")

    def _note(self, balance: int, open_count: int, differences: list[str]) -> None:
        opening = not self._store.opened
        if tuple(differences) == self._differences and not opening:
            return
        new = [one for one in differences if one not in self._differences]
        self._news.count(Value.RECONCILE_DIFFERENCES, len(new))
        for text in new:
            self._news.notice("reconcile", difference=text)
        self._differences = tuple(differences)
        trades = self._store.positions.booked
        record = Reconcile(balance, open_count, trades, self._differences, opening)
        self._store.commit(record, self._clock())

    def unsettled_from_ms(self) -> int:
        """Return the wall time (ms) from which trades have to be listed."""
        since_ms = self._resolver.oldest_unsettled_ms()
        compared_ms = self._compared_ms or self._epoch_ms()
        from_ms = compared_ms if since_ms is None else min(since_ms, compared_ms)
        return from_ms - OVERLAP_MS

    async def _trades(self) -> list[UserTrade]:
        return await self.reader.trades(self.unsettled_from_ms())


_POST_ONLY: Final = int(IntentFlag.POST_ONLY)


def _post_only(submission: Submission) -> bool:
    return all(one.intent.flags & _POST_ONLY for one in submission.orders)
