"""The native decoder, its answer in the shape of the slow twin's."""

from __future__ import annotations

from typing import Any

from oracle.decoder import Change, Decoded, Event
from overround._native import ffi, lib

TYPES = {
    lib.OVR_PM_BOOK: "book",
    lib.OVR_PM_PRICE_CHANGE: "price_change",
    lib.OVR_PM_LAST_TRADE: "last_trade_price",
    lib.OVR_PM_TICK_SIZE: "tick_size_change",
    lib.OVR_PM_BEST_BID_ASK: "best_bid_ask",
    lib.OVR_PM_NEW_MARKET: "new_market",
    lib.OVR_PM_RESOLVED: "market_resolved",
}


class NativeDecoder:
    """A batch with room for small frames; ``base``: as on a processor without extensions."""

    def __init__(self, events: int = 64, changes: int = 8_192, *, base: bool = False) -> None:
        self._decode = lib.ovr_pm_decode_base if base else lib.ovr_pm_decode
        self.events = ffi.new("struct ovr_pm_event[]", events)
        self.changes = ffi.new("struct ovr_pm_change[]", changes)
        self.batch = ffi.new("struct ovr_pm_batch *")
        self.batch.events = self.events
        self.batch.changes = self.changes
        self.batch.events_capacity = events
        self.batch.changes_capacity = changes

    def decode(self, frame: bytes, *, rest: bool = False) -> Decoded:
        self.batch.default_type = lib.OVR_PM_BOOK if rest else lib.OVR_PM_NONE
        # An exactly sized copy: reading past its end is the sanitizers' to find.
        data = ffi.new("char[]", frame) if frame else ffi.new("char[]", 1)
        reason = self._decode(data, len(frame), self.batch)
        return Decoded(
            reason=reason,
            events=[self._event(self.events[i]) for i in range(self.batch.events_count)],
            unknown=self.batch.unknown,
            rejected_type=self.batch.rejected_type,
            rejected_value=self.batch.rejected_value,
        )

    @property
    def speculated(self) -> bool:
        """Whether the last frame had one of the forms that are tried first."""
        return bool(self.batch.speculated)

    def _event(self, event: Any) -> Event:
        flags = event.flags
        kind = TYPES[event.type]
        return Event(
            type=kind,
            market=text(event.market),
            asset=text(event.asset),
            epoch_ms=event.venue_epoch_ms,
            tick_ticks=event.tick_ticks,
            price_ticks=event.price_ticks,
            size_lots=event.size_lots,
            side=event.side if flags & lib.OVR_PM_HAS_SIDE else None,
            hash=hexadecimal(event.hash, flags),
            last=text(event.last_trade) if flags & lib.OVR_PM_HAS_LAST else None,
            min_size=text(event.min_size),
            neg_risk=bool(flags & lib.OVR_PM_NEG_RISK) if flags & lib.OVR_PM_NEG_KNOWN else None,
            bid_ticks=event.bid_ticks if flags & lib.OVR_PM_HAS_BID else None,
            ask_ticks=event.ask_ticks if flags & lib.OVR_PM_HAS_ASK else None,
            changes=self._changes(event.first, event.count),
            asks=self._changes(event.asks_first, event.asks_count),
        )

    def _changes(self, first: int, count: int) -> list[Change]:
        return [self._change(self.changes[i]) for i in range(first, first + count)]

    @staticmethod
    def _change(change: Any) -> Change:
        flags = change.flags
        return Change(
            asset=text(change.asset),
            side=change.side,
            price_ticks=change.price_ticks,
            size_lots=change.size_lots,
            hash=hexadecimal(change.hash, flags),
            bid_ticks=change.bid_ticks if flags & lib.OVR_PM_HAS_BID else None,
            ask_ticks=change.ask_ticks if flags & lib.OVR_PM_HAS_ASK else None,
        )


def text(slice_: Any) -> str:
    return bytes(ffi.buffer(slice_.data, slice_.length)).decode() if slice_.length else ""


def hexadecimal(digest: Any, flags: int) -> str | None:
    return bytes(ffi.buffer(digest)).hex() if flags & lib.OVR_PM_HAS_HASH else None
