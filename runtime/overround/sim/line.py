"""What the fault switches do to the frames of one WebSocket, after the exchange has sent them.

A line stands between a channel and its connection. Without a switch on it passes every frame
on; with one it reads the frame as a client would. "times" switches count frames of any line.
No I/O: it writes to a function and waits with another.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from overround.sim.faults import SWITCHES, Faults
from overround.sim.records import UNKNOWN_OWNER

__all__ = ["Line"]

Write = Callable[[str | bytes], None]
Later = Callable[[float, Callable[[], None]], object]

MARKET_NAMES = frozenset(switch.name for switch in SWITCHES if switch.area == "market")
USER_NAMES = frozenset(switch.name for switch in SWITCHES if switch.area == "user")

SWAP_WAIT_S = 0.2
"""An event that waits for its successor goes out after this long without one."""

RACE_LATE_MS = 40
"""A trade that races a cancel is told so much after it."""

STATUS_TEXT = "CANCELED_maker balance changed: 12.5 < 20"

_SPACED = (", ", ":")
_COMPACT = (",", ":")


class Line:
    """The frames on their way to one client of ``channel`` ("market" or "user")."""

    __slots__ = (
        "_behind", "_channel", "_faults", "_held", "_late", "_later", "_raced", "_write", "used",
    )  # fmt: skip

    def __init__(self, channel: str, faults: Faults, write: Write, later: Later) -> None:
        self._channel = channel
        self._faults = faults
        self._write = write
        self._later = later
        self._held: list[str | bytes] = []
        self._late: dict[str, deque[str]] = {}
        self._raced: set[str] = set()
        self._behind: str | None = None
        self.used = False
        """Whether a frame has ever met a switch here: something may still be waiting."""

    def send(self, item: str | bytes) -> None:
        """Pass one frame on as the switches will have it: altered, late, twice or not at all."""
        faults = self._faults
        self.used = True
        if item == "PONG":
            if faults.take("pong-missing"):
                return
            self._forward(item)
        elif isinstance(item, bytes):
            self._forward(item)
        elif self._channel == "market":
            if faults.values.keys() & MARKET_NAMES or self._late or self._raced:
                self._market(item)
            else:
                self._forward(item)
        elif faults.values.keys() & USER_NAMES or self._late or self._behind or faults.racing:
            self._user(item)
        else:
            self._forward(item)

    # -- waiting -------------------------------------------------------------------------

    def _forward(self, item: str | bytes) -> None:
        stall_ms = self._faults.value("frames-stalled") if self._channel == "market" else 0
        if self._held:
            self._held.append(item)
        elif stall_ms:
            self._faults.show("frames-stalled")
            self._held.append(item)
            self._later(stall_ms / 1000, self._release)
        else:
            self._write(item)

    def _release(self) -> None:
        held, self._held = self._held, []
        for item in held:
            self._write(item)

    def _delay(self, key: str, text: str, delay_ms: float) -> None:
        # Each timer sends the oldest: frames of a key keep their order though delays change.
        self._late.setdefault(key, deque()).append(text)
        self._later(delay_ms / 1000, partial(self._overdue, key))

    def _overdue(self, key: str) -> None:
        queue = self._late[key]
        self._forward(queue.popleft())
        if not queue:
            del self._late[key]

    # -- market channel ------------------------------------------------------------------

    def _market(self, text: str) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            self._forward(text)
            return
        if isinstance(frame, list) and frame and all(_is_event(book) for book in frame):
            self._opening(text, frame)
        elif _is_event(frame):
            changed = self._event(text, frame, frame["market"])
            if changed is not None:
                self._finish(changed, frame["market"])
        else:
            self._forward(text)

    def _finish(self, text: str, market: str) -> None:
        faults = self._faults
        if faults.take("frame-torn", market):
            text = text[: len(text) // 2]
        self._pass_leg(text, market)
        if faults.take("line-blank", market):
            self._forward("\n")

    def _pass_leg(self, text: str, market: str) -> None:
        faults = self._faults
        if market and "leg-stale" in faults.values:
            faults.markets.setdefault("leg-stale", market)
        if faults.is_on("leg-stale", market):
            faults.show("leg-stale")
            self._delay(market, text, faults.value("leg-stale"))
        elif market in self._late:
            self._delay(market, text, 0)
        else:
            self._forward(text)

    def _is_stalled(self, market: str) -> bool:
        faults = self._faults
        if faults.take("market-silent", market):
            return True
        if market and "asset-stalled" in faults.values:
            faults.markets.setdefault("asset-stalled", market)
        return faults.take("asset-stalled", market)

    def _opening(self, text: str, frame: list[Any]) -> None:
        faults = self._faults
        books = [book for book in frame if not self._is_stalled(book["market"])]
        if not books or faults.take("snapshot-missing"):
            return
        if faults.take("snapshot-bare"):
            for book in books:
                book.pop("tick_size", None)
                book.pop("last_trade_price", None)
            text = json.dumps(books, separators=_COMPACT) + "\n"
        elif len(books) < len(frame):
            text = json.dumps(books, separators=_COMPACT) + "\n"
        if faults.take("snapshot-raced"):
            self._raced |= {book["market"] for book in books}
        if faults.take("snapshot-doubled"):
            self._forward(text)
        self._finish(text, books[0]["market"])

    def _event(self, text: str, event: dict[str, Any], market: str) -> str | None:
        """Return the frame to send in place of this one, None for none."""
        faults = self._faults
        if self._is_stalled(market):
            return None
        kind = event.get("event_type")
        if kind == "last_trade_price" and faults.take("print-dropped", market):
            return None
        if kind != "price_change":
            return text
        if market in self._raced:
            self._raced.discard(market)
            return None
        if faults.take("delta-dropped", market):
            return None
        entries = event["price_changes"]
        if faults.take("hash-wrong", market):
            for entry in entries:
                entry["hash"] = entry["hash"][::-1]
            text = json.dumps(event, separators=_SPACED)
        if faults.take("bbo-wrong", market):
            for entry in entries:
                entry["best_bid"] = "0.0001"
            text = json.dumps(event, separators=_SPACED)
        if faults.take("delta-swapped", market):
            self._pass_leg(text, market)
            entries.reverse()
            text = json.dumps(event, separators=_SPACED)
        return text

    # -- user channel --------------------------------------------------------------------

    def _user(self, text: str) -> None:
        faults = self._faults
        try:
            event = json.loads(text)
        except ValueError:
            event = None
        if not _is_event(event):
            self._forward(text)
            return
        with faults.about(_own_orders(event)):
            self._trouble(event)

    def _trouble(self, event: dict[str, Any]) -> None:
        faults, market = self._faults, event["market"]
        missing = "trade-missing" if event.get("event_type") == "trade" else "order-missing"
        if faults.take("user-silent", market) or faults.take(missing, market):
            return
        self._rewrite(event)
        text = json.dumps(event, separators=_SPACED)
        if faults.racing and event.get("event_type") == "trade":
            self._delay("race", text, RACE_LATE_MS)
            return
        if self._behind is None and faults.take("events-swapped", market):
            self._behind = text
            self._later(SWAP_WAIT_S, self._catch_up)
            return
        self._pass_event(text)
        if faults.take("event-doubled", market):
            self._pass_event(text)
        self._catch_up()

    def _catch_up(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            self._pass_event(behind)

    def _pass_event(self, text: str) -> None:
        faults = self._faults
        delay_ms = faults.value("events-late")
        if delay_ms or "" in self._late:
            if delay_ms:
                faults.show("events-late")
            self._delay("", text, delay_ms)
        else:
            self._forward(text)

    def _rewrite(self, event: dict[str, Any]) -> None:
        """Spell an event as older or odder versions of the venue did."""
        faults = self._faults
        if faults.is_on("status-text") and event.get("type") == "CANCELLATION":
            faults.take("status-text")
            event["status"] = STATUS_TEXT
        if faults.take("time-seconds"):
            event["timestamp"] = str(int(event["timestamp"]) // 1000)
        if event.get("event_type") == "trade":
            if faults.take("time-iso"):
                for key in ("match_time", "last_update"):
                    when = datetime.fromtimestamp(int(event[key]), UTC)
                    event[key] = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            if faults.take("time-renamed"):
                event["matchtime"] = event.pop("match_time")
            if faults.take("index-text"):
                event["bucket_index"] = str(event["bucket_index"])
                for maker in event["maker_orders"]:
                    maker["outcome_index"] = str(maker["outcome_index"])


def _own_orders(event: dict[str, Any]) -> list[str]:
    """Return the ids of a member's orders that an event of the user channel tells of."""
    if event.get("event_type") == "order":
        return [str(event.get("id", ""))]
    if event.get("trader_side") == "TAKER":
        return [str(event.get("taker_order_id", ""))]
    legs = event.get("maker_orders", [])
    return [str(leg.get("order_id")) for leg in legs if leg.get("owner") != UNKNOWN_OWNER]


def _is_event(value: Any) -> bool:
    """Return whether a switch may look into this; a frame made by hand may be anything."""
    if not isinstance(value, dict) or not isinstance(value.get("market"), str):
        return False
    if not str(value.get("timestamp", "")).isdigit():
        return False
    kind = value.get("event_type")
    if kind == "trade":
        return isinstance(value.get("maker_orders"), list) and "match_time" in value
    entries = value.get("price_changes", [])
    return kind != "price_change" or (isinstance(entries, list) and "price_changes" in value)
