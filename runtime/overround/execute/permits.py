"""Permits: the gate's word in advance, so that the usual order leaves in one native call.

While the loop is idle the gate is asked of each likely pooled order whether it would pass now,
the book and the intent's own times apart. A yes is a permit, good for exactly the state it was
given on: **the journal's next sequence**. Whatever the executor learns, sends or plans is a
record, so any change of state withdraws every permit before the next intent is read. The few
things that are no record are looked at again at each use: what the pool holds, readiness, kill
latch, loss stop, catalog row, credentials, the transport's own gates.

One native call then compares the book and the times, journals INTENT, SIGNED and SENT, proves
the request and writes it. The books are done afterwards, **by the usual code**: the same intent
goes through ``Executor.take`` as of that moment and that book, over a journal that compares each
record with the one on disk instead of writing it. So the gate judges every order once more; if it
ever says no to what a permit let through, the kill latch is set and the process ends. Whatever no
permit covers goes the ordinary way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from overround._native import ffi, lib
from overround.clock import NS_PER_MS
from overround.errors import InvariantError
from overround.execute.client import Lease, Response
from overround.execute.executor import Executor, Submission
from overround.execute.intents import decode_intents
from overround.execute.judge import Extra, Moment, account_view, order_view
from overround.execute.markets import MarketInfo, SharedMarkets
from overround.execute.pool import OrderPool, Ready
from overround.layout.intent import INTENT, IntentFlag
from overround.ledger.records import Intent, IntentKey, Record, Sent, encode
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.rest import place_order

__all__ = ["Carrier", "Permits"]

PERMITS_MAX: Final = 16
"""Orders that the gate is asked of in one go: about a quarter of a millisecond."""
RENEW_NS: Final = 50 * NS_PER_MS
"""How often it is asked although nothing changed: rate tokens come back."""

_ORDER: Final = place_order(b"{}")
_POST_ONLY: Final = int(IntentFlag.POST_ONLY)
_TAKING: Final = (int(OrderType.FOK), int(OrderType.FAK))
_KEY: Final = Struct("<IIIIHHBBBBH6xq")
"""producer .. size_lots of a ring record: all of an intent that a permit fixes."""
_AT: Final = {name: field[1] for name, field in (INTENT.fields or {}).items()}
_KEY_AT: Final = _AT["producer"]
_KEY_END: Final = _KEY_AT + _KEY.size
_SEQUENCE_AT: Final = _AT["producer_sequence"]
assert _AT["edge_micro"] == _KEY_END, "the key is one piece of the record"
_SEQUENCE: Final = Struct("<Q")
_PACK: Final = msgspec.msgpack.Encoder()


class Carrier(Protocol):
    """What carries permitted orders: ``AccountDesk`` over our own connections."""

    @property
    def credentials(self) -> Credentials | None:
        """What requests prove."""

    def order_head(self) -> tuple[bytes, bytes]:
        """Return what the requests of all orders have in common."""

    def lease_now(self, *, post_only: bool) -> Lease | None:
        """Return the right to send one order in this turn of the loop, if it is there."""

    def follow(self, submission: Submission, answer: asyncio.Future[Response]) -> None:
        """Wait for the answer to what was sent."""


class _Permit(NamedTuple):
    native: Any
    text: Any
    """What ``native`` points at."""
    key: bytes
    intent: Intent
    ready: Ready
    market: MarketInfo


class Permits:
    """The permits of one account. ``grant`` while idle, ``bind`` to a ring's buffer."""

    def __init__(
        self,
        core: Executor,
        pool: OrderPool,
        markets: SharedMarkets,
        carrier: Carrier,
        *,
        run_id: int,
        clock: Callable[[], int],
        epoch_ns: Callable[[], int],
        trip: Callable[[str], None],
        account: int = 0,
    ) -> None:
        self._core = core
        self._store = core.store
        self._journal = core.store.journal
        self._pool = pool
        self._markets = markets
        self._carrier = carrier
        self._run_id = run_id
        self._account = account
        self._clock = clock
        self._epoch_ns = epoch_ns
        self._trip = trip
        self._granted: dict[bytes, _Permit] = {}
        self._made: dict[int, _Permit] = {}
        self._sequence = 0
        self._version = 0
        self._granted_ns = 0
        self._use = ffi.new("struct ovr_permit_use *")
        self._head = ffi.new("struct ovr_order_head *")
        self._head_texts: tuple[Any, ...] = ()
        self._credentials: Credentials | None = None
        self.ended_ns = 0
        """When the last byte of the last one was handed over."""

    def __len__(self) -> int:
        return len(self._granted)

    # -- giving --------------------------------------------------------------------------

    def grant(self) -> None:
        """Ask the gate anew if anything has changed since; costs next to nothing if not."""
        now_ns, sequence = self._clock(), self._journal.next_sequence
        version = self._pool.version
        same = sequence == self._sequence and version == self._version
        if same and now_ns - self._granted_ns < RENEW_NS:
            return
        self._granted.clear()
        if not self._core.ready or not self._know_head():
            return
        self._store.settle()
        made: dict[int, _Permit] = {}
        for ready, producer, strategy in self._pool.hot(PERMITS_MAX):
            permit = self._permit(ready, producer, strategy)
            if permit is not None:
                made[ready.number] = permit
                if self._passes(permit, now_ns):
                    self._granted[permit.key] = permit
        self._made = made
        self._sequence, self._version, self._granted_ns = sequence, version, now_ns

    def _know_head(self) -> bool:
        credentials = self._carrier.credentials
        if credentials is None:
            return False
        if credentials is not self._credentials:
            head, proved = self._carrier.order_head()
            native = self._head
            self._head_texts = (ffi.new("uint8_t[]", head), ffi.new("uint8_t[]", proved))
            native.head, native.proved = self._head_texts
            native.head_bytes, native.proved_bytes = len(head), len(proved)
            credentials.native_mac(ffi.addressof(native, "mac"))
            self._credentials = credentials
        return True

    def _passes(self, permit: _Permit, now_ns: int) -> bool:
        """Return whether an intent for this order would be let through, the moment apart."""
        intent, ready, market = permit.intent, permit.ready, permit.market
        tick_ticks = self._markets.book(market.index, now_ns)[1]
        resolved = tick_ticks or market.tick_ticks
        if not self._pool.good(ready, market, resolved, now_ns):
            return False
        if self._store.positions.known_market(market.condition_id) != market.note():
            return False  # its terms would be journaled first
        permit.native.tick_ticks = tick_ticks
        return self._core.gate.permits(
            order_view(intent, market, 0, 0),
            market.view(tick_ticks),
            account_view(self._store, intent.token, Extra()),
            cost_micro=ready.prepared.cost_micro,
            now_ns=now_ns,
        )

    def _permit(self, ready: Ready, producer: int, strategy: int) -> _Permit | None:
        """Return what is fixed of a permit, made once for each order."""
        shape, market = ready.shape, self._markets.info(ready.shape.market)
        place = self._markets.place(shape.market)
        if market is None or place is None:
            return None
        old = self._made.get(ready.number)
        if (
            old is not None
            and old.market is market
            and (old.intent.producer, old.intent.strategy) == (producer, strategy)
        ):
            return old
        intent = Intent(
            self._run_id, producer, 0, 0, 0, 1, self._account, strategy,
            market.token(shape.outcome), market.condition_id, shape.outcome, shape.side,
            shape.order_type, shape.flags, ready.price_ticks, shape.size_lots, 0, 0,
        )  # fmt: skip
        head, plan, middle, epoch, tail = _cut(
            intent, "sequence", "plan", "edge_micro", "created_epoch_ms"
        )
        assert plan + epoch == b"", "these fields stand side by side"
        signed = _cut(ready.sealed.signed(intent, ready.prepared, ready.number), "sequence")
        sent = encode(Sent((ready.sealed.order_id,)))[1]
        text = ffi.new(
            "uint8_t[]", b"".join((head, middle, tail, *signed, sent, ready.sealed.body))
        )
        native = ffi.new("struct ovr_permit *")
        native.board, native.lease_ns = place
        native.until_ns = self._pool.until_ns(ready)
        native.size_lots, native.price_ticks = shape.size_lots, ready.price_ticks
        native.collar_ticks = self._core.gate.limits.collar_ticks
        native.market, native.outcome, native.side = shape.market, shape.outcome, shape.side
        native.takes = shape.order_type in _TAKING
        native.whole = shape.order_type == OrderType.FOK
        native.text, native.sent_bytes = text, len(sent)
        native.intent_bytes = [len(head), len(middle), len(tail)]
        native.signed_bytes = [len(one) for one in signed]
        native.body_bytes = len(ready.sealed.body)
        key = _KEY.pack(
            producer, self._account, strategy, shape.market, 0, 1, shape.outcome, shape.side,
            shape.order_type, shape.flags, ready.price_ticks, shape.size_lots,
        )  # fmt: skip
        return _Permit(native, text, key, intent, ready, market)

    # -- using ---------------------------------------------------------------------------

    def bind(self, records: Any) -> Callable[[], bool]:
        """Return what tries the first record of a ring's buffer.

        It returns True if that order has left and all is booked; else nothing has happened.
        """
        raw = memoryview(records.view(np.uint8).reshape(-1))
        pointer = ffi.from_buffer("struct ovr_intent[]", records)
        granted = self._granted

        def first() -> bool:
            permit = granted.get(bytes(raw[_KEY_AT:_KEY_END]))
            if permit is None or self._journal.next_sequence != self._sequence:
                return False
            (sequence,) = _SEQUENCE.unpack_from(raw, _SEQUENCE_AT)
            return self._use_it(permit, sequence, pointer, records)

        return first

    def _use_it(self, permit: _Permit, sequence: int, pointer: Any, records: Any) -> bool:
        core, native = self._core, permit.native
        if (
            not core.ready
            or self._pool.version != self._version
            or core.killed
            or core.gate.stop is not None
            or self._markets.info(permit.market.index) is not permit.market
            or self._carrier.credentials is not self._credentials
            or IntentKey(self._run_id, permit.intent.producer, sequence) in self._store.by_key
        ):
            return False
        lease = self._carrier.lease_now(post_only=permit.intent.flags & _POST_ONLY != 0)
        if lease is None:
            return False
        use = self._use
        use.journal, use.journal_bytes, use.offset, use.sequence = self._journal.room
        use.now_ns, use.epoch_ns = self._clock(), self._epoch_ns()
        if lib.ovr_permit_send(native, self._head, pointer, lease.socket, use):
            lease.release()
            return False
        try:
            self._journal.written_ahead(list(use.ends))
            rest = ffi.buffer(use.request, use.request_bytes)[use.written_bytes :]
            self._book(records, lease.sent(_ORDER, rest))
        except BaseException:
            self._trip("an order that a permit let through could not be booked")
            raise
        return True

    def _book(self, records: Any, answer: asyncio.Future[Response]) -> None:
        """Do the books of what has left, by the usual code."""
        core, use = self._core, self._use
        self.ended_ns = use.ended_ns
        judged = self._markets.view(use.book, use.book_epoch)
        moment = Moment(use.now_ns, use.epoch_ns, judged)

        def follow(submission: Submission) -> bool:
            if not core.begin(submission):
                raise InvariantError("an order that has left was not let go")
            moment.now_ns = max(moment.now_ns, use.ended_ns)
            self._carrier.follow(submission, answer)
            return True

        with core.at(moment):
            core.take(decode_intents(records[:1]), follow)
        self._journal.check_confirmed()
        core.news.count(Value.PERMITS_USED)


def _cut(record: Record, *names: str) -> list[bytes]:
    """Return a record's payload without these fields, cut where they stand."""
    fields: Sequence[str] = type(record).__struct_fields__
    values = msgspec.structs.astuple(record)
    size = len(values)
    pieces = [bytes([0x90 | size]) if size < 16 else b"\xdc" + size.to_bytes(2, "big")]
    start = 0
    for name in (*names, None):
        at = size if name is None else fields.index(name)
        pieces[-1] += b"".join(map(_PACK.encode, values[start:at]))
        start = at + 1
        if name is not None:
            pieces.append(b"")
    return pieces
