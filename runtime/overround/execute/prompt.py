"""Orders that no permit names leave in one native call as well, judged by numbers.

A price or a size that nobody expected is no reason to go the long way: the gate's leeway says in
a few comparisons whether there is room, the order is taken from the pool or signed, its records
are encoded, and ``Passage`` does the rest. Good for single orders of every type but GTD; whatever
it does not cover goes the ordinary way, and so does whatever it would not let through: the gate
finds the words.
"""

from __future__ import annotations

from typing import Any, Final

from overround._native import ffi, lib
from overround.errors import OrderError
from overround.execute.build import Prepared
from overround.execute.intents import RingIntent, decode_intents, intent_record
from overround.execute.leeways import Leeways
from overround.execute.markets import MarketInfo
from overround.execute.own import proceeds_micro
from overround.execute.passage import POST_ONLY, Passage
from overround.execute.pool import OrderPool, Ready
from overround.layout.intent import OrderType
from overround.ledger.records import Intent, Sent, Signed, encode
from overround.observe.metrics import Histogram

__all__ = ["Prompt"]

_GTD: Final = int(OrderType.GTD)
_FOK: Final = int(OrderType.FOK)
_TAKING: Final = (_FOK, int(OrderType.FAK))
_NS_PER_MS: Final = 1_000_000
_NEVER_NS: Final = 2**63 - 1


class Prompt:
    """Lets out what the gate has room for."""

    def __init__(
        self, passage: Passage, leeways: Leeways, pool: OrderPool | None, account: int
    ) -> None:
        self._passage = passage
        self._leeways = leeways
        self._pool = pool
        self._account = account
        self._native = ffi.new("struct ovr_permit *")

    def first(self, record: Any, pointer: Any) -> bool:
        """Let out one ring record; False, with nothing done, if it has to go the ordinary way."""
        (message,) = decode_intents(record)
        market = self._passage.markets.info(message.market)
        if (
            message.flags & ~POST_ONLY
            or message.legs != 1
            or message.order_type == _GTD
            or message.account != self._account
            or market is None
            or message.problem()
            or not self._passage.open(market, message.producer, message.producer_sequence)
        ):
            return False
        return self._judge(message, market, record, pointer)

    def _judge(self, message: RingIntent, market: MarketInfo, record: Any, pointer: Any) -> bool:
        passage, core = self._passage, self._passage.core
        now_ns = passage.clock()
        found = self._leeways.of(market, message.strategy, now_ns)
        if found is None:
            return False
        leeway, tick_ticks = found
        epoch_ns = passage.epoch_ns()
        intent = intent_record(passage.run_id, message, market, epoch_ns // _NS_PER_MS)
        ready = None
        if self._pool is not None:
            ready = self._pool.find(intent, market, leeway.tick_ticks, now_ns)
        try:
            prepared = (
                core.builder.prepare(intent, market, leeway.tick_ticks)
                if ready is None
                else ready.prepared
            )
        except OrderError:
            return False
        proceeds = 0
        if message.side:
            proceeds = proceeds_micro(
                message.size_lots, message.price_ticks, market.fee_rate_ppm, market.fee_exponent
            )
        takes = message.order_type in _TAKING
        if not leeway.admits(
            message.outcome, message.side, message.price_ticks, message.size_lots,
            takes=takes, cost_micro=prepared.cost_micro, proceeds_micro=proceeds,
        ):  # fmt: skip
            return False
        use = passage.use
        use.now_ns, use.epoch_ns = now_ns, epoch_ns
        if not self._fill(message, tick_ticks, ready):
            return False
        if lib.ovr_permit_allows(self._native, pointer, use):
            return False  # not worth a signature
        return self._send(intent, market, prepared, ready, record, pointer, now_ns)

    def _fill(self, message: RingIntent, tick_ticks: int, ready: Ready | None) -> bool:
        """Say what native code compares with the book; False if the book is nowhere."""
        place = self._passage.markets.place(message.market)
        if place is None:
            return False
        native = self._native
        native.board, native.lease_ns = place
        native.until_ns = _NEVER_NS if ready is None else ready.until_ns
        native.size_lots, native.price_ticks = message.size_lots, message.price_ticks
        native.collar_ticks = self._passage.core.gate.limits.collar_ticks
        native.market, native.tick_ticks = message.market, tick_ticks
        native.outcome, native.side = message.outcome, message.side
        native.takes = message.order_type in _TAKING
        native.whole = message.order_type == _FOK
        return True

    def _send(
        self, intent: Intent, market: MarketInfo, prepared: Prepared, ready: Ready | None,
        record: Any, pointer: Any, taken_ns: int,
    ) -> bool:  # fmt: skip
        passage, native = self._passage, self._native
        judged_ns = passage.clock()
        lease = passage.lease(post_only=intent.flags & POST_ONLY != 0)
        if lease is None:
            return False
        try:
            signed = (
                passage.core.builder.sign(intent, market, prepared)
                if ready is None
                else ready.sealed.signed(intent, prepared, ready.number)
            )
            payloads = _payloads(intent, signed)
            text = b"".join((*payloads, signed.body))
            native.text = ffi.from_buffer("uint8_t[]", text)
            native.intent_bytes = (len(payloads[0]), 0, 0)
            native.signed_bytes = (len(payloads[1]), 0)
            native.sent_bytes, native.body_bytes = len(payloads[2]), len(signed.body)
            passage.use.now_ns = passage.clock()
        except BaseException:
            lease.release()
            raise
        sent = passage.send(lib.ovr_order_send, native, record, pointer, lease, taken_ns)
        if sent:
            news = passage.core.news
            news.time(Histogram.GATE, judged_ns - taken_ns)
            news.time(Histogram.SIGN, passage.use.now_ns - judged_ns)
        return sent


def _payloads(intent: Intent, signed: Signed) -> tuple[bytes, bytes, bytes]:
    return encode(intent)[1], encode(signed)[1], encode(Sent((signed.order_id,)))[1]
