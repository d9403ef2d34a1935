"""One native call from a judged order to its bytes, and the books of it afterwards.

The call compares book and times, journals INTENT, SIGNED and SENT, proves the request and writes
it; it does all of that or nothing. The books are done when the bytes have left, **by the usual
code**: the same intent goes through ``Executor.take`` as of that moment and that book, over a
journal that compares each record with the one on disk instead of writing it. So the gate judges
every order in its own words; if it ever says no to what was let through, the kill latch is set
and the process ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from overround._native import ffi
from overround.errors import InvariantError
from overround.execute.client import Lease, Response
from overround.execute.executor import Executor, Submission
from overround.execute.intents import decode_intents
from overround.execute.judge import Moment
from overround.execute.markets import MarketInfo, SharedMarkets
from overround.layout.intent import IntentFlag
from overround.ledger.records import IntentKey
from overround.observe.metrics import Value
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.rest import place_order

__all__ = ["Carrier", "Passage"]

POST_ONLY: Final = int(IntentFlag.POST_ONLY)
_ORDER: Final = place_order(b"{}")


class Carrier(Protocol):
    """What carries these orders: ``AccountDesk`` over our own connections."""

    @property
    def credentials(self) -> Credentials | None:
        """What requests prove."""

    def order_head(self) -> tuple[bytes, bytes]:
        """Return what the requests of all orders have in common."""

    def lease_now(self, *, post_only: bool) -> Lease | None:
        """Return the right to send one order in this turn of the loop, if it is there."""

    def follow(self, submission: Submission, answer: asyncio.Future[Response]) -> None:
        """Wait for the answer to what was sent."""


class Passage:
    """The way out for the orders of one account."""

    def __init__(
        self,
        core: Executor,
        markets: SharedMarkets,
        carrier: Carrier,
        *,
        run_id: int,
        clock: Callable[[], int],
        epoch_ns: Callable[[], int],
        trip: Callable[[str], None],
    ) -> None:
        self.core = core
        self.markets = markets
        self.run_id = run_id
        self.clock = clock
        self.epoch_ns = epoch_ns
        self._store = core.store
        self._journal = core.store.journal
        self._carrier = carrier
        self._trip = trip
        self.use = ffi.new("struct ovr_permit_use *")
        self.head = ffi.new("struct ovr_order_head *")
        self._head_texts: tuple[Any, ...] = ()
        self._credentials: Credentials | None = None
        self.ended_ns = 0
        """When the last byte of the last one was handed over."""

    def know_head(self) -> bool:
        """Make what requests have in common anew if the credentials are new ones; not per order.

        False while there are none.
        """
        credentials = self._carrier.credentials
        if credentials is None:
            return False
        if credentials is not self._credentials:
            head, proved = self._carrier.order_head()
            native = self.head
            self._head_texts = (ffi.new("uint8_t[]", head), ffi.new("uint8_t[]", proved))
            native.head, native.proved = self._head_texts
            native.head_bytes, native.proved_bytes = len(head), len(proved)
            credentials.native_mac(ffi.addressof(native, "mac"))
            self._credentials = credentials
        return True

    def open(self, market: MarketInfo, producer: int, sequence: int) -> bool:
        """Return whether an order may leave here at all, as far as no record would tell."""
        core = self.core
        return (
            core.ready
            and not core.killed
            and core.gate.stop is None
            and self.markets.info(market.index) is market
            and self._credentials is not None
            and self._carrier.credentials is self._credentials
            and IntentKey(self.run_id, producer, sequence) not in self._store.by_key
        )

    def lease(self, *, post_only: bool) -> Lease | None:
        """Return the right to send one order in this turn of the loop, if it is there."""
        return self._carrier.lease_now(post_only=post_only)

    def send(
        self,
        call: Callable[..., int],
        native: Any,
        record: Any,
        pointer: Any,
        lease: Lease,
        taken_ns: int,
    ) -> bool:
        """Let the order of a ring record out; False, with nothing done, if it must not leave.

        ``use`` has its moment already; the intent was taken and judged at ``taken_ns``. Raises,
        with the kill latch set, if the books contradict.
        """
        use = self.use
        use.journal, use.journal_bytes, use.offset, use.sequence = self._journal.room
        # The latch again: a signature takes time, and ``begin`` will not ask once it has left.
        if self.core.killed or call(native, self.head, pointer, lease.socket, use):
            lease.release()
            return False
        try:
            self._journal.written_ahead(list(use.ends))
            rest = ffi.buffer(use.request, use.request_bytes)[use.written_bytes :]
            self._book(record, lease.sent(_ORDER, rest), taken_ns)
        except BaseException:
            self._trip("an order that was let through could not be booked")
            raise
        return True

    def _book(self, record: Any, answer: asyncio.Future[Response], taken_ns: int) -> None:
        """Do the books of what has left, by the usual code."""
        core, use = self.core, self.use
        self.ended_ns = use.ended_ns
        judged = self.markets.view(use.book, use.book_epoch)
        moment = Moment(taken_ns, use.epoch_ns, judged)

        def follow(submission: Submission) -> bool:
            moment.now_ns = use.now_ns
            if not core.begin(submission):
                raise InvariantError("an order that has left was not let go")
            moment.now_ns = max(use.now_ns, use.ended_ns)
            self._carrier.follow(submission, answer)
            return True

        with core.at(moment):
            core.take(decode_intents(record), follow)
        self._journal.check_confirmed()
        core.news.count(Value.PERMITS_USED)
