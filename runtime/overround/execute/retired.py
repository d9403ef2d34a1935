"""Orders that are done and settled, as few bytes: known for ever, read again from the journal.

Nothing that the executor ever knew may turn into a stranger: a fill may come late, a listing may
tell of a trade again, a producer may offer an intent twice. So of a retired order stay its key (in
spans of consecutive sequences), its id, where the journal holds its INTENT, SIGNED and FILL
records, and the numbers that no single record says: about 300 bytes instead of some thousand.
Whoever asks for such an order by its id gets it back whole, read from those places.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import Any, Final, NamedTuple

from overround.execute.order import Order
from overround.ledger.positions import FillState
from overround.ledger.records import IntentKey

__all__ = ["KeySpans", "OrdersById", "OrdersByKey", "Retired", "RetiredOrders", "trade_hash"]

_HEAD: Final = Struct("<QQqqqqIHB")
_FILL: Final = Struct("<QQB")
_CANCEL_ASKED, _ACKNOWLEDGED, _REFUSED = 1, 2, 4


class KeySpans:
    """A set of intent keys; those in a row cost two numbers together."""

    def __init__(self) -> None:
        self.spans: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        """Per run and producer: first sequences, and those right behind the last ones."""

    def add(self, key: IntentKey) -> None:
        """Add one; one that is there changes nothing."""
        starts, ends = self.spans.setdefault((key.run_id, key.producer), ([], []))
        sequence = key.sequence
        at = bisect_right(starts, sequence) - 1
        if at >= 0 and sequence < ends[at]:
            return
        follows = at >= 0 and ends[at] == sequence
        leads = at + 1 < len(starts) and starts[at + 1] == sequence + 1
        if follows and leads:
            ends[at] = ends.pop(at + 1)
            del starts[at + 1]
        elif follows:
            ends[at] += 1
        elif leads:
            starts[at + 1] = sequence
        else:
            starts.insert(at + 1, sequence)
            ends.insert(at + 1, sequence + 1)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, IntentKey):
            return False
        found = self.spans.get((key.run_id, key.producer))
        if found is None:
            return False
        starts, ends = found
        if key.sequence >= ends[-1]:  # the usual one: it is new
            return False
        at = bisect_right(starts, key.sequence) - 1
        return at >= 0 and key.sequence < ends[at]

    def __len__(self) -> int:
        """Spans, not keys."""
        return sum(len(starts) for starts, _ in self.spans.values())


class Retired(NamedTuple):
    """What is kept of one order. Places are segment << 32 | byte offset in the journal."""

    intent_at: int
    signed_at: int
    filled_lots: int
    matched_lots: int
    spent_micro: int
    touched_ns: int
    reason: int
    attempts: int
    cancel_asked: bool
    acknowledged: bool
    refused: bool
    fills: tuple[tuple[int, int, FillState], ...]
    """Of each: hash of the trade's id, place of its FILL record, where it stands."""


class RetiredOrders:
    """Rows by order id. A lookup costs a dict's; nothing here reads a file."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, order_id: object) -> bool:
        return isinstance(order_id, str) and _id_bytes(order_id) in self.rows

    def put(self, order_id: str, row: Retired) -> None:
        """Keep an order."""
        flags = (
            _CANCEL_ASKED * row.cancel_asked
            | _ACKNOWLEDGED * row.acknowledged
            | _REFUSED * row.refused
        )
        packed = _HEAD.pack(*row[:8], flags)
        self.rows[_id_bytes(order_id)] = packed + b"".join(_FILL.pack(*one) for one in row.fills)

    def get(self, order_id: str) -> Retired | None:
        """Return what is kept of an order, None if it is not kept."""
        packed = self.rows.get(_id_bytes(order_id))
        return None if packed is None else _unpack(packed)

    def pop(self, order_id: str) -> Retired | None:
        """Give an order back, None if it is not kept."""
        packed = self.rows.pop(_id_bytes(order_id), None)
        return None if packed is None else _unpack(packed)

    def fill(self, order_id: str, trade_id: str) -> FillState | None:
        """Return where a fill of a kept order stands, None if it is none of one's."""
        packed = self.rows.get(_id_bytes(order_id))
        if packed is None:
            return None
        wanted = trade_hash(trade_id)
        for name, _, state in _FILL.iter_unpack(packed[_HEAD.size :]):
            if name == wanted:
                return FillState(state)
        return None

    def fill_places(self) -> list[tuple[int, FillState]]:
        """Return place and state of every kept fill, oldest record first."""
        places = [
            (place, FillState(state))
            for packed in self.rows.values()
            for _, place, state in _FILL.iter_unpack(packed[_HEAD.size :])
        ]
        return sorted(places)


class OrdersByKey(dict[IntentKey, Order]):
    """Orders in memory; ``in`` also knows the others."""

    def __init__(self, spans: KeySpans) -> None:
        super().__init__()
        self._spans = spans

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or key in self._spans


class OrdersById(dict[str, Order]):
    """Orders in memory; who asks for another one gets it back into memory."""

    def __init__(self, retired: RetiredOrders, recall: Callable[[str], Order | None]) -> None:
        super().__init__()
        self._retired = retired
        self._recall = recall

    def __contains__(self, order_id: object) -> bool:
        return dict.__contains__(self, order_id) or order_id in self._retired

    def __missing__(self, order_id: str) -> Order:
        found = self._recall(order_id)
        if found is None:
            raise KeyError(order_id)
        return found

    def get(self, order_id: str, default: Any = None) -> Any:
        """As ``dict.get``, of every order there ever was."""
        found = dict.get(self, order_id) or self._recall(order_id)
        return default if found is None else found


def trade_hash(trade_id: str) -> int:
    """Return 64 bits that tell the trades of one order apart."""
    return int.from_bytes(blake2b(trade_id.encode(), digest_size=8).digest(), "little")


def _unpack(packed: bytes) -> Retired:
    intent_at, signed_at, filled, matched, spent, touched_ns, reason, attempts, flags = (
        _HEAD.unpack_from(packed)
    )
    fills = tuple(
        (name, place, FillState(state))
        for name, place, state in _FILL.iter_unpack(packed[_HEAD.size :])
    )
    return Retired(
        intent_at, signed_at, filled, matched, spent, touched_ns, reason, attempts,
        bool(flags & _CANCEL_ASKED), bool(flags & _ACKNOWLEDGED), bool(flags & _REFUSED), fills,
    )  # fmt: skip


def _id_bytes(order_id: str) -> bytes:
    """Return an id as bytes: 32 of a digest as it is usually written, else its text, marked."""
    if len(order_id) == 66 and order_id.startswith("0x"):
        try:
            raw = bytes.fromhex(order_id[2:])
        except ValueError:
            raw = b""
        if "0x" + raw.hex() == order_id:
            return raw
    return b"\0text" + order_id.encode()
