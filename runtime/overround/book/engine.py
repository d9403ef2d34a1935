"""Books from frames: the typed skin of the native feed engine.

One native call a frame decodes, applies, verifies and publishes. Nothing here looks at a level;
``levels`` exists for replay, screens and tests.
"""

from __future__ import annotations

import errno
from typing import Any, Protocol

from overround._native import ffi, lib
from overround.clock import NS_PER_MS
from overround.layout.board import UntrustCause

__all__ = ["NEVER_NS", "FeedEngine"]

NEVER_NS = 2**64 - 1
"""``next_deadline`` when nothing is due; ``flush`` with it ends everything that is open."""

_GRID_LEVELS = 10_001
_FRAME_BYTES_MAX = 16 * 2**20


class _Region(Protocol):
    @property
    def pointer(self) -> Any: ...


class _Tap(Protocol):
    native_pointer: Any


def _pointer(region: _Region | None) -> Any:
    return ffi.NULL if region is None else region.pointer


class FeedEngine:
    """Owner of every book of one shard. Used by one thread.

    ``on_frame`` and its kind return one reused result structure: read it before the next call.
    Its fields: ``events, changes, levels, books, published, prints, malformed, unknown_events,
    unknown_assets, stale, resync`` (markets waiting for a snapshot), ``hash_passed, hash_failed``
    (entries decided in the call), ``new_markets, resolved, tap_full, venue_epoch_ms``.
    """

    def __init__(
        self,
        *,
        markets_capacity: int,
        burst_ns: int = 2 * NS_PER_MS,
        audit_every: int = 1,
        hash_pending_ns: int = 250 * NS_PER_MS,
        frame_bytes_max: int = _FRAME_BYTES_MAX,
        board: _Region | None = None,
        changes: _Region | None = None,
        trades: _Region | None = None,
        tap: _Tap | None = None,
        meters: _Region | None = None,
        learn: bool = False,
    ) -> None:
        """Take all memory the engine will ever use; raises MemoryError if it is not there.

        ``audit_every``: the full hash of one burst in that many is verified (0 none, 1 all).
        ``learn``: markets that nobody added are added as they appear, for replay.
        """
        config = ffi.new(
            "struct ovr_feed_config *",
            {
                "markets_capacity": markets_capacity,
                "audit_every": audit_every,
                "learn": int(learn),
                "frame_bytes_max": frame_bytes_max,
                "burst_ns": burst_ns,
                "hash_pending_ns": hash_pending_ns,
                "board": _pointer(board),
                "changes": _pointer(changes),
                "trades": _pointer(trades),
                "meters": _pointer(meters),
                "tap": ffi.NULL if tap is None else tap.native_pointer,
            },
        )
        feed = lib.ovr_feed_create(config)
        if feed == ffi.NULL:
            raise MemoryError(f"no memory for {markets_capacity} books")
        self._regions = (board, changes, trades, tap, meters)  # keep their mappings alive
        self._feed = ffi.gc(feed, lib.ovr_feed_destroy)
        self._result = ffi.new("struct ovr_feed_result *")
        self._capacity = markets_capacity
        self._wanted = ffi.new("uint32_t[]", markets_capacity)
        self._ticks = ffi.new("uint16_t[]", _GRID_LEVELS)
        self._lots = ffi.new("int64_t[]", _GRID_LEVELS)
        self._text = ffi.new("char[]", lib.OVR_BOOK_TEXT_BYTES)

    @property
    def native_pointer(self) -> Any:
        """The ``struct ovr_feed`` that native code hands frames to; valid while this lives."""
        return self._feed

    # -- markets ---------------------------------------------------------------------------

    def add_market(
        self,
        index: int,
        condition_id: str,
        token_yes: str,
        token_no: str,
        tick_ticks: int = 0,
        min_size_text: str = "5",
        neg_risk: bool | None = None,
        last_trade_text: str = "",
    ) -> None:
        """Add a market under its global index; untrusted until a whole book arrives.

        ``tick_ticks`` 0 and empty texts mean unknown. Raises ValueError if an id is empty, too
        long or already known, or the index is out of range or taken.
        """
        negative = -1 if neg_risk is None else int(neg_risk)
        status = lib.ovr_feed_add_market(
            self._feed,
            index,
            condition_id.encode(),
            token_yes.encode(),
            token_no.encode(),
            tick_ticks,
            min_size_text.encode(),
            negative,
            last_trade_text.encode(),
        )
        if status != 0:
            reason = errno.errorcode.get(-status, str(-status))
            raise ValueError(f"market {index} ({condition_id}) cannot be added: {reason}")

    def find(self, text: str) -> int:
        """Return the market index of a token or condition id, or -1."""
        raw = text.encode()
        return int(lib.ovr_feed_find(self._feed, raw, len(raw)))

    @property
    def markets_count(self) -> int:
        """Markets known."""
        return int(lib.ovr_feed_markets_count(self._feed))

    @property
    def trusted_count(self) -> int:
        """Markets trusted now."""
        return int(lib.ovr_feed_trusted_count(self._feed))

    def market_state(self, index: int) -> Any:
        """Return the live ``struct ovr_feed_market`` (read only): trust, times, audit, recipe.

        Raises IndexError for an index without a market.
        """
        state = lib.ovr_feed_market_at(self._feed, index)
        if state == ffi.NULL:
            raise IndexError(f"no market {index}")
        return state

    def levels(
        self, index: int, outcome: int, depth: int = _GRID_LEVELS
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (bids, asks) of one outcome as (price_ticks, size_lots), best first."""
        sides = []
        for side in (0, 1):
            count = lib.ovr_feed_levels(
                self._feed, index, outcome, side, self._ticks, self._lots, depth
            )
            sides.append(
                list(
                    zip(
                        ffi.unpack(self._ticks, count),
                        ffi.unpack(self._lots, count),
                        strict=True,
                    )
                )
                if count
                else []
            )
        return sides[0], sides[1]

    def book_text(self, index: int, outcome: int, venue_epoch_ms: int) -> bytes:
        """Return the text whose SHA-1 is the venue's hash of this book at that time."""
        length = lib.ovr_feed_book_text(
            self._feed, index, outcome, venue_epoch_ms, self._text, lib.OVR_BOOK_TEXT_BYTES
        )
        if length < 0:
            raise IndexError(f"no market {index}")
        return bytes(ffi.buffer(self._text, length))

    # -- data ------------------------------------------------------------------------------

    def on_frame(self, buffer: Any, recv_ns: int, connection: int = 0) -> Any:
        """Decode, apply and publish one frame (any contiguous buffer); returns the result."""
        data = ffi.from_buffer(buffer)
        lib.ovr_feed_frame(self._feed, data, len(data), recv_ns, connection, self._result)
        return self._result

    def on_rest_books(self, buffer: Any, recv_ns: int, connection: int = 0) -> Any:
        """Compare and splice the books of a REST answer: one object or an array of them."""
        data = ffi.from_buffer(buffer)
        lib.ovr_feed_rest_books(self._feed, data, len(data), recv_ns, connection, self._result)
        return self._result

    def flush(self, now_ns: int) -> Any:
        """End bursts that went quiet and decide hashes that waited too long."""
        lib.ovr_feed_flush(self._feed, now_ns, self._result)
        return self._result

    def next_deadline(self) -> int:
        """Return when ``flush`` is next due, in monotonic ns, or NEVER_NS."""
        return int(lib.ovr_feed_next_deadline(self._feed))

    # -- trust -----------------------------------------------------------------------------

    def untrust(self, index: int, cause: UntrustCause, now_ns: int) -> None:
        """Withdraw trust from one market; unknown indexes are ignored."""
        lib.ovr_feed_untrust(self._feed, index, cause, now_ns)

    def take_resync(self) -> list[int]:
        """Return the markets that need a snapshot, each once, and forget them."""
        count = lib.ovr_feed_take_resync(self._feed, self._wanted, self._capacity)
        return list(ffi.unpack(self._wanted, count)) if count else []

    def counter(self, value: int) -> int:
        """Return one of the native counters (ids 0 to 47 of ``observe.metrics.Value``)."""
        return int(lib.ovr_feed_counter(self._feed, value))
