"""Permits: the gate's word in advance, so that the usual order leaves in one native call.

While the loop is idle the gate is asked of each likely pooled order whether it would pass now,
the book and the intent's own times apart. A yes is a permit, good for exactly the state it was
given on: **the journal's next sequence**. Whatever the executor learns, sends or plans is a
record, so any change of state withdraws every permit before the next intent is read. The few
things that are no record are looked at again at each use: what the pool holds, readiness, kill
latch, loss stop, catalog row, credentials, the transport's own gates.

``Passage`` then lets the order out and does the books. What no permit names goes by ``Prompt``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from overround._native import ffi, lib
from overround.clock import NS_PER_MS
from overround.execute.executor import Executor
from overround.execute.judge import order_view
from overround.execute.leeways import Leeways
from overround.execute.markets import MarketInfo, SharedMarkets
from overround.execute.passage import POST_ONLY, Carrier, Passage
from overround.execute.pool import OrderPool, Ready
from overround.execute.prompt import Prompt
from overround.layout.intent import INTENT, IntentFlag
from overround.ledger.records import Intent, Record, Sent, encode
from overround.venues.contract import OrderType
from overround.venues.polymarket.rest import place_order

__all__ = ["Permits"]

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
        pool: OrderPool | None,
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
        self._run_id = run_id
        self._account = account
        self._clock = clock
        self._epoch_ns = epoch_ns
        self._passage = Passage(
            core, markets, carrier, run_id=run_id, clock=clock, epoch_ns=epoch_ns, trip=trip
        )
        self._leeways = Leeways(core, markets)
        self._prompt = Prompt(self._passage, self._leeways, pool, account)
        self._granted: dict[bytes, _Permit] = {}
        self._made: dict[int, _Permit] = {}
        self._sequence = 0
        self._version = 0
        self._granted_ns = 0

    @property
    def ended_ns(self) -> int:
        """When the last byte of the last one was handed over."""
        return self._passage.ended_ns

    def __len__(self) -> int:
        return len(self._granted)

    # -- giving --------------------------------------------------------------------------

    def grant(self) -> None:
        """Ask the gate anew if anything has changed since; costs next to nothing if not."""
        now_ns, sequence = self._clock(), self._journal.next_sequence
        version = self._pool.version if self._pool is not None else 0
        same = sequence == self._sequence and version == self._version
        if same and now_ns - self._granted_ns < RENEW_NS:
            return
        self._granted.clear()
        if not self._core.ready or not self._passage.know_head():
            return
        made: dict[int, _Permit] = {}
        self._leeways.renew(now_ns)
        pool = self._pool
        for ready, producer, strategy in pool.hot(PERMITS_MAX) if pool is not None else ():
            permit = self._permit(ready, producer, strategy)
            if permit is not None:
                made[ready.number] = permit
                if self._passes(permit, now_ns):
                    self._granted[permit.key] = permit
        self._made = made
        self._sequence, self._version, self._granted_ns = sequence, version, now_ns

    def _passes(self, permit: _Permit, now_ns: int) -> bool:
        """Return whether an intent for this order would be let through, the moment apart."""
        intent, ready, market = permit.intent, permit.ready, permit.market
        found = self._leeways.of(market, intent.strategy, now_ns)
        if found is None or self._pool is None:
            return False
        leeway, permit.native.tick_ticks = found
        if not self._pool.good(ready, market, leeway.tick_ticks, now_ns):
            return False
        view = order_view(intent, market, 0, 0)
        return leeway.admits(
            view.outcome, view.side, view.price_ticks, view.size_lots, takes=view.takes,
            cost_micro=ready.prepared.cost_micro, proceeds_micro=view.proceeds_micro,
        )  # fmt: skip

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
        native.until_ns = ready.until_ns
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

    def bind(self, records: Any) -> Callable[[int], bool]:
        """Return what tries the record at a place of a ring's buffer.

        It returns True if that order has left and all is booked; else nothing has happened.
        """
        size = records.dtype.itemsize
        raw = memoryview(records.view(np.uint8).reshape(-1))
        places = [
            (records[at : at + 1], ffi.from_buffer("struct ovr_intent[]", records[at : at + 1]))
            for at in range(len(records))
        ]
        granted, prompt = self._granted, self._prompt

        def take(at: int) -> bool:
            start = at * size
            record, pointer = places[at]
            permit = granted.get(bytes(raw[start + _KEY_AT : start + _KEY_END]))
            if permit is None or not self._holds():
                return prompt.first(record, pointer)
            (sequence,) = _SEQUENCE.unpack_from(raw, start + _SEQUENCE_AT)
            return self._use_it(permit, sequence, pointer, record)

        return take

    def _holds(self) -> bool:
        """Return whether nothing has changed since the permits were given."""
        pool = self._pool
        return self._journal.next_sequence == self._sequence and (
            pool is None or pool.version == self._version
        )

    def _use_it(self, permit: _Permit, sequence: int, pointer: Any, record: Any) -> bool:
        passage, intent = self._passage, permit.intent
        if not passage.open(permit.market, intent.producer, sequence):
            return False
        lease = passage.lease(post_only=intent.flags & POST_ONLY != 0)
        if lease is None:
            return False
        now_ns = self._clock()
        passage.use.now_ns, passage.use.epoch_ns = now_ns, self._epoch_ns()
        return passage.send(lib.ovr_permit_send, permit.native, record, pointer, lease, now_ns)


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
