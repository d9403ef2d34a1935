"""Slow, obvious twin of the native market-channel decoder: what a frame means, told plainly."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

GRID = 10_000
DEPTH_MAX = 32
ID_MAX = 128
TEXT_MAX = 15
I64_MAX = 2**63 - 1

JSON, TYPE, VALUE = 1, 2, 3


class Number(str):
    """A JSON number as it stands in the text."""

    __slots__ = ()


class Members(list):
    """Members of an object in order, doubles included."""

    def get(self, key: str) -> Any:
        for name, value in self:
            if name == key:
                return value
        return None

    def has(self, key: str) -> bool:
        return any(name == key for name, _ in self)


class Bad(Exception):
    """A reason not to take an object."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Change:
    asset: str
    side: int
    price_ticks: int
    size_lots: int
    hash: str | None = None
    bid_ticks: int | None = None
    ask_ticks: int | None = None


@dataclass
class Event:
    type: str
    market: str
    asset: str = ""
    epoch_ms: int = 0
    tick_ticks: int = 0
    price_ticks: int = 0
    size_lots: int = 0
    side: int | None = None
    hash: str | None = None
    last: str | None = None
    min_size: str = ""
    neg_risk: bool | None = None
    bid_ticks: int | None = None
    ask_ticks: int | None = None
    changes: list[Change] = field(default_factory=list)
    asks: list[Change] = field(default_factory=list)


@dataclass
class Decoded:
    reason: int = 0
    events: list[Event] = field(default_factory=list)
    unknown: int = 0
    rejected_type: int = 0
    rejected_value: int = 0


def depth_of(text: str) -> int:
    """Deepest nesting of brackets outside strings."""
    deepest = depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', text, re.DOTALL):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def decode(frame: bytes, default_type: str | None = None) -> Decoded:
    """Return what the native decoder must return for the same bytes."""
    try:
        text = frame.decode("utf-8")
        if depth_of(text) > DEPTH_MAX:
            return Decoded(reason=JSON)
        document = json.loads(
            text,
            object_pairs_hook=Members,
            parse_int=Number,
            parse_float=Number,
            parse_constant=refuse,
        )
    except ValueError:
        return Decoded(reason=JSON)
    out = Decoded()
    if isinstance(document, Members):
        messages: list[Any] = [document]
    elif isinstance(document, list):
        messages = document
    else:
        return Decoded(reason=TYPE)
    for message in messages:
        decode_message(message, default_type, out)
    return out


def decode_message(message: Any, default_type: str | None, out: Decoded) -> None:
    if not isinstance(message, Members):
        out.rejected_type += 1
        return
    kind = message.get("event_type")
    if not message.has("event_type") and default_type is not None:
        kind = default_type
    doubled = doubles(message)
    if not isinstance(kind, str) or isinstance(kind, Number):
        out.rejected_type += 1
        return
    # Doubled event types: the native decoder keeps the last one.
    if message.has("event_type"):
        kind = [value for name, value in message if name == "event_type"][-1]
        if not isinstance(kind, str) or isinstance(kind, Number):
            out.rejected_type += 1
            return
    reader = READERS.get(kind)
    if reader is None:
        out.unknown += 1
        return
    last = Members(dict(message).items())  # of doubles the last, as the native decoder keeps it
    reasons = [TYPE] if doubled else []
    event = Event(kind, take(reasons, lambda: read_id(last, "market"), ""))
    reader(last, event, reasons)
    if TYPE in reasons:
        out.rejected_type += 1
    elif VALUE in reasons:
        out.rejected_value += 1
    else:
        out.events.append(event)


KNOWN = frozenset(
    {
        *("event_type", "market", "asset_id", "timestamp", "hash", "price", "size", "side"),
        *("best_bid", "best_ask", "tick_size", "new_tick_size", "last_trade_price"),
        *("min_order_size", "neg_risk", "winning_asset_id"),
        *("bids", "asks", "price_changes", "changes"),
    }
)


def doubles(members: Members) -> bool:
    names = [name for name, _ in members if name in KNOWN]
    return len(names) != len(set(names))


def take(reasons: list[int], read: Any, otherwise: Any) -> Any:
    try:
        return read()
    except Bad as bad:
        reasons.append(bad.reason)
        return otherwise


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def read_id(members: Members, key: str) -> str:
    value = members.get(key)
    if not isinstance(value, str) or isinstance(value, Number):
        raise Bad(TYPE)
    if not 1 <= len(value) <= ID_MAX or not all("!" <= c <= "~" for c in value):
        raise Bad(VALUE)
    return value


def fixed(value: Any, places: int) -> int:
    if not is_text(value):
        raise Bad(TYPE)
    match = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", value)
    if match is None:
        raise Bad(VALUE)
    fraction = (match[2] or "").ljust(places, "0")
    if fraction[places:].strip("0"):
        raise Bad(VALUE)
    number = int(match[1] + fraction[:places])
    if number > I64_MAX:
        raise Bad(VALUE)
    return number


def read_price(members: Members, key: str, lowest: int, highest: int) -> int:
    ticks = fixed(members.get(key), 4)
    if not lowest <= ticks <= highest:
        raise Bad(VALUE)
    return ticks


def read_best(members: Members, key: str) -> int | None:
    if members.get(key) is None or members.get(key) == "":
        return None
    return read_price(members, key, 0, GRID)


def read_side(members: Members) -> int:
    side = members.get("side")
    if not isinstance(side, str) or isinstance(side, Number):
        raise Bad(TYPE)
    if side not in ("BUY", "SELL"):
        raise Bad(VALUE)
    return int(side == "SELL")


def read_hash(members: Members) -> str | None:
    value = members.get("hash")
    if value is None:
        return None
    if not isinstance(value, str) or isinstance(value, Number):
        raise Bad(TYPE)
    return value.lower() if re.fullmatch(r"[0-9a-fA-F]{40}", value) else None


def read_tick(members: Members, key: str) -> int:
    ticks = read_price(members, key, 1, GRID // 2)
    if GRID % ticks:
        raise Bad(VALUE)
    return ticks


def read_text(members: Members, key: str) -> str:
    value = members.get(key)
    if not is_text(value):
        raise Bad(TYPE)
    if value:
        if len(value) > TEXT_MAX:
            raise Bad(VALUE)
        fixed(value, 6)
    return str(value)


def read_entry(members: Members, reasons: list[int], *, level_of: int | None) -> Change:
    if doubles(members):
        reasons.append(TYPE)
    last = Members(dict(members).items())
    change = Change("", 0, 0, 0)
    change.price_ticks = take(reasons, lambda: read_price(last, "price", 1, GRID - 1), 0)
    change.size_lots = take(reasons, lambda: fixed(last.get("size"), 6), 0)
    if level_of is not None:
        change.side = level_of
        return change
    change.side = take(reasons, lambda: read_side(last), 0)
    change.hash = take(reasons, lambda: read_hash(last), None)
    change.bid_ticks = take(reasons, lambda: read_best(last, "best_bid"), None)
    change.ask_ticks = take(reasons, lambda: read_best(last, "best_ask"), None)
    if last.get("asset_id") is not None:
        change.asset = take(reasons, lambda: read_id(last, "asset_id"), "")
    return change


def read_list(
    members: Members, key: str, reasons: list[int], level_of: int | None = None
) -> list[Change]:
    if not members.has(key):
        reasons.append(TYPE)
        return []
    value = members.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or isinstance(value, Members):
        reasons.append(TYPE)
        return []
    changes = []
    for entry in value:
        if isinstance(entry, Members):
            changes.append(read_entry(entry, reasons, level_of=level_of))
        else:
            reasons.append(TYPE)
    return changes


def read_book(members: Members, event: Event, reasons: list[int]) -> None:
    event.asset = take(reasons, lambda: read_id(members, "asset_id"), "")
    event.epoch_ms = take(reasons, lambda: fixed(members.get("timestamp"), 0), 0)
    event.changes = read_list(members, "bids", reasons, 0)
    event.asks = read_list(members, "asks", reasons, 1)
    event.hash = take(reasons, lambda: read_hash(members), None)
    if members.get("tick_size") is not None:
        event.tick_ticks = take(reasons, lambda: read_tick(members, "tick_size"), 0)
    if members.get("min_order_size") is not None:
        event.min_size = take(reasons, lambda: read_text(members, "min_order_size"), "")
    if members.get("last_trade_price") is not None:
        event.last = take(reasons, lambda: read_text(members, "last_trade_price"), "")
    neg_risk = members.get("neg_risk")
    if neg_risk is not None:
        if not isinstance(neg_risk, bool):
            reasons.append(TYPE)
        event.neg_risk = neg_risk is True


def read_price_change(members: Members, event: Event, reasons: list[int]) -> None:
    event.epoch_ms = take(reasons, lambda: fixed(members.get("timestamp"), 0), 0)
    for key in ("price_changes", "changes"):
        if members.get(key) is not None:
            event.changes = read_list(members, key, reasons)
            inherited = ""
            if members.get("asset_id") is not None:
                inherited = take(reasons, lambda: read_id(members, "asset_id"), "")
                event.asset = inherited
            for change in event.changes:
                if not change.asset and not reasons:
                    change.asset = inherited
                    if not inherited:
                        reasons.append(TYPE)
            return
    change = read_entry(members, reasons, level_of=None)
    if members.get("asset_id") is None:
        reasons.append(TYPE)
    event.changes = [change]


def read_trade(members: Members, event: Event, reasons: list[int]) -> None:
    event.asset = take(reasons, lambda: read_id(members, "asset_id"), "")
    event.epoch_ms = take(reasons, lambda: fixed(members.get("timestamp"), 0), 0)
    event.price_ticks = take(reasons, lambda: read_price(members, "price", 0, GRID), 0)
    event.size_lots = take(reasons, lambda: fixed(members.get("size"), 6), 0)
    if members.get("price") is not None:
        event.last = take(reasons, lambda: read_text(members, "price"), "")
    if members.get("side") is not None:
        event.side = take(reasons, lambda: read_side(members), None)


def read_best_bid_ask(members: Members, event: Event, reasons: list[int]) -> None:
    event.asset = take(reasons, lambda: read_id(members, "asset_id"), "")
    event.epoch_ms = take(reasons, lambda: fixed(members.get("timestamp"), 0), 0)
    event.bid_ticks = take(reasons, lambda: read_best(members, "best_bid"), None)
    event.ask_ticks = take(reasons, lambda: read_best(members, "best_ask"), None)


def read_tick_change(members: Members, event: Event, reasons: list[int]) -> None:
    event.tick_ticks = take(reasons, lambda: read_tick(members, "new_tick_size"), 0)
    event.epoch_ms = take(reasons, lambda: fixed(members.get("timestamp"), 0), 0)
    if members.get("asset_id") is not None:
        event.asset = take(reasons, lambda: read_id(members, "asset_id"), "")


def read_market(members: Members, event: Event, reasons: list[int]) -> None:
    if members.get("timestamp") is not None:
        event.epoch_ms = take(reasons, lambda: fixed(members.get("timestamp"), 0), 0)
    if members.get("winning_asset_id") is not None:
        event.asset = take(reasons, lambda: read_id(members, "winning_asset_id"), "")


READERS = {
    "book": read_book,
    "price_change": read_price_change,
    "last_trade_price": read_trade,
    "tick_size_change": read_tick_change,
    "best_bid_ask": read_best_bid_ask,
    "new_market": read_market,
    "market_resolved": read_market,
}
