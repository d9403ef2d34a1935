"""What the journal's records say: one struct a kind, msgpack arrays on disk.

The journal outlives a run, the catalog's indices do not: records name tokens and conditions by
the venue's ids. Fields are appended, never removed or reordered; a new one has a default.

Every change of an order's state or of a position *is* one of these records: the live process
applies the record it has just appended, recovery applies the same records again, so the two
cannot disagree.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from overround.ledger.journal import JournalRecord

__all__ = [
    "Ack",
    "Adjusted",
    "Cancel",
    "Done",
    "Failed",
    "Fill",
    "Finding",
    "Findings",
    "Intent",
    "IntentKey",
    "Kind",
    "MarketNote",
    "PlanBegun",
    "PlanEnded",
    "PlanKey",
    "PoolVoid",
    "Pooled",
    "Reconcile",
    "Record",
    "Reject",
    "RiskMark",
    "Sent",
    "Settled",
    "Signed",
    "Start",
    "Unknown",
    "decode",
    "encode",
    "struct_of",
]


class Kind(IntEnum):
    """The kinds on disk; numbers are never reused."""

    INTENT = 1
    SIGNED = 2
    SENT = 3
    ACK = 4
    REJECT = 5
    UNKNOWN = 6
    FILL = 7
    SETTLED = 8
    FAILED = 9
    CANCEL = 10
    DONE = 11
    RECONCILE = 12
    START = 13
    MARKET = 14
    POOLED = 15
    POOL_VOID = 16
    RISK = 17
    PLAN = 18
    PLAN_END = 19
    ADJUSTED = 20
    FINDINGS = 21


class IntentKey(NamedTuple):
    """What makes an intent one: the run, the producing process, and its own count."""

    run_id: int
    producer: int
    sequence: int


class PlanKey(NamedTuple):
    """What makes a plan one: the run, the producing process, its first leg's sequence."""

    run_id: int
    producer: int
    plan: int


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of all records."""


class Start(Record, frozen=True):
    """An executor took the journal over. ``run_id`` is the supervisor's run."""

    run_id: int
    generation: int
    mode: str
    address: str


class MarketNote(Record, frozen=True):
    """What redemption of a condition's tokens depends on; written before its first intent.

    ``set_members`` are the conditions of its exhaustive set, empty for a market on its own or
    in a set that is not known to be complete.
    """

    condition_id: str
    token_yes: str
    token_no: str
    set_members: tuple[str, ...] = ()
    fee_rate_ppm: int = 0
    fee_exponent: int = 1


class Intent(Record, frozen=True):
    """A strategy's wish as it was taken from the ring; nothing was decided yet."""

    run_id: int
    producer: int
    sequence: int
    plan: int
    leg: int
    legs: int
    account: int
    strategy: int
    token: str
    condition_id: str
    outcome: int
    side: int
    order_type: int
    flags: int
    price_ticks: int
    size_lots: int
    edge_micro: int
    created_epoch_ms: int
    """Also the order's signed timestamp, unless it was signed ahead: with the key it fixes the
    digest."""
    target: int = 0
    expiration_s: int = 0
    """Wall time (s) that a GTD order states to the venue; 0 for every other."""
    plan_run_id: int = 0
    """Run of the plan it repairs, where that began in another run; else 0."""

    @property
    def key(self) -> IntentKey:
        """What makes it one."""
        return IntentKey(self.run_id, self.producer, self.sequence)


class Signed(Record, frozen=True):
    """The order's id and exact body. Written before SENT, so before its first byte leaves."""

    run_id: int
    producer: int
    sequence: int
    order_id: str
    salt: int
    timestamp_ms: int
    maker_micro: int
    taker_micro: int
    reserved_micro: int
    """Cash that its fills and their fees can cost at most; 0 for a sale."""
    body: bytes
    pool: int = 0
    """Number under which it was signed ahead; 0 if it was signed for the intent."""

    @property
    def key(self) -> IntentKey:
        """Of the intent it serves."""
        return IntentKey(self.run_id, self.producer, self.sequence)


class Pooled(Record, frozen=True):
    """An order signed ahead of any intent. No longer written: SIGNED holds all that is sent."""

    number: int
    order_id: str
    token: str
    side: int
    price_ticks: int
    maker_micro: int
    taker_micro: int
    timestamp_ms: int


class PoolVoid(Record, frozen=True):
    """These pooled orders will serve nobody. No longer written."""

    numbers: tuple[int, ...]
    reason: str


class Sent(Record, frozen=True):
    """From here on bytes of these orders may be under way. Written before the first one."""

    order_ids: tuple[str, ...]
    attempt: int = 1


class Ack(Record, frozen=True):
    """The venue has the order. ``status``: live, matched, delayed, unmatched, duplicated."""

    order_id: str
    status: str
    trade_ids: tuple[str, ...] = ()
    matched_lots: int = 0
    """Shares the answer says were matched already; their trades are still to come."""
    source: str = "response"


class Reject(Record, frozen=True):
    """The venue refused the order, or no byte of it ever left: it does not exist there."""

    order_id: str
    reason: int
    text: str


class Unknown(Record, frozen=True):
    """Bytes left and no usable answer came: it may exist. Resolved by id, never re-signed."""

    order_id: str
    cause: str


class Fill(Record, frozen=True):
    """A trade's part in one of our orders: pending until SETTLED or FAILED."""

    trade_id: str
    order_id: str
    token: str
    condition_id: str
    outcome: int
    side: int
    price_ticks: int
    size_lots: int
    cash_micro: int
    """What a BUY pays or a SELL receives before the fee; exact to the micro-unit."""
    fee_micro: int
    maker: bool
    status: str
    match_epoch_ms: int


class Settled(Record, frozen=True):
    """The trade is final."""

    trade_id: str
    order_id: str


class Failed(Record, frozen=True):
    """The trade will never settle: its fill is reversed."""

    trade_id: str
    order_id: str


class Cancel(Record, frozen=True):
    """A cancel was asked for (``asked``), or the venue holds no rest of the order any more."""

    order_id: str
    asked: bool
    reason: str
    matched_lots: int = 0
    """Shares the venue says were matched before; their trades may still be to come."""


class Done(Record, frozen=True):
    """An intent's end. ``order_id`` is empty if it never became an order.

    ``reason`` is a RefusalCode where ``refused``, else 0.
    """

    run_id: int
    producer: int
    sequence: int
    order_id: str
    refused: bool
    reason: int
    text: str
    filled_lots: int = 0

    @property
    def key(self) -> IntentKey:
        """Of the intent that ended."""
        return IntentKey(self.run_id, self.producer, self.sequence)


class Reconcile(Record, frozen=True):
    """What a comparison with the venue found. The first one of a journal opens the cash."""

    cash_micro: int
    """The venue's balance, -1 if it was not asked."""
    orders_open: int
    trades_seen: int
    differences: tuple[str, ...] = ()
    opening: bool = False


class PlanBegun(Record, frozen=True):
    """A plan of several legs passed the gate. Written before its first leg is signed."""

    run_id: int
    producer: int
    plan: int
    repair: int
    """What becomes of missed legs: a ``planbook.Repair``."""
    worst_micro: int
    """Most that the plan can lose, whatever fills and whatever is repaired; 0 or more."""
    deadline_epoch_ms: int
    """Wall time from which nothing of it is repaired any more."""
    slip_ticks: int
    """How far beyond its leg's price a missed leg may be completed."""

    @property
    def key(self) -> PlanKey:
        """What makes it one."""
        return PlanKey(self.run_id, self.producer, self.plan)


class PlanEnded(Record, frozen=True):
    """The outcome of a plan as one trade: every fill of its legs and of its repairs is final."""

    run_id: int
    producer: int
    plan: int
    outcome: int
    """A ``planbook.PlanOutcome``."""
    cash_micro: int
    """Cash received less cash paid, fees apart."""
    fees_micro: int
    pnl_micro: int
    """Cash less fees plus the least that the shares left can redeem for."""
    orders: int
    repairs: int
    text: str = ""

    @property
    def key(self) -> PlanKey:
        """The plan that ended."""
        return PlanKey(self.run_id, self.producer, self.plan)


class RiskMark(Record, frozen=True):
    """What the loss stops count from. ``cause``: day, peak, resume.

    Worth is the account's P&L since the journal began, micro-units. ``bases`` are the worst
    cases of what is held, one (strategy, micro-units) each, -1 the account; empty leaves them.
    """

    cause: str
    utc_day: int
    """Days since 1970-01-01 UTC."""
    day_worth_micro: int
    peak_worth_micro: int
    bases: tuple[tuple[int, int], ...] = ()
    epoch_ms: int = 0
    worst_micro: int | None = None
    """Where the run's loss counts from; None leaves it where it was."""


class Adjusted(Record, frozen=True):
    """Shares and cash that no trade of ours moved: the opening, or adopted by hand.

    The P&L does not change: what they can redeem for at least is where it counts from.
    """

    token: str
    """Empty for cash alone."""
    condition_id: str
    outcome: int
    lots: int
    """Signed: negative for shares that left."""
    cash_micro: int
    """Signed; 0 for shares alone."""
    cause: str
    """opening, or hand."""


class Finding(msgspec.Struct, frozen=True, array_like=True):
    """One difference between journal and venue; numbers in lots, or micro-units for cash."""

    code: str
    """Of a rule in docs/reference/recovery.md."""
    subject: str
    """Order or token id; empty for cash."""
    ours: int
    theirs: int
    action: str


class Findings(Record, frozen=True):
    """What a comparison with the venue found besides our own orders. ``cause``: timer, hand."""

    cause: str
    rows: tuple[Finding, ...]


_TYPES: Final[dict[Kind, type[Record]]] = {
    Kind.INTENT: Intent,
    Kind.SIGNED: Signed,
    Kind.SENT: Sent,
    Kind.ACK: Ack,
    Kind.REJECT: Reject,
    Kind.UNKNOWN: Unknown,
    Kind.FILL: Fill,
    Kind.SETTLED: Settled,
    Kind.FAILED: Failed,
    Kind.CANCEL: Cancel,
    Kind.DONE: Done,
    Kind.RECONCILE: Reconcile,
    Kind.START: Start,
    Kind.MARKET: MarketNote,
    Kind.POOLED: Pooled,
    Kind.POOL_VOID: PoolVoid,
    Kind.RISK: RiskMark,
    Kind.PLAN: PlanBegun,
    Kind.PLAN_END: PlanEnded,
    Kind.ADJUSTED: Adjusted,
    Kind.FINDINGS: Findings,
}
_KINDS: Final = {struct: kind for kind, struct in _TYPES.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: Final = {kind: msgspec.msgpack.Decoder(struct) for kind, struct in _TYPES.items()}


def struct_of(kind: Kind) -> type[Record]:
    """Return the struct that a kind's payload is."""
    return _TYPES[kind]


def encode(record: Record) -> tuple[int, bytes]:
    """Return kind and payload of a record."""
    return _KINDS[type(record)], _ENCODER.encode(record)


def decode(raw: JournalRecord) -> Record:
    """Return what a journal record says; raises msgspec.DecodeError on a foreign payload."""
    return _DECODERS[Kind(raw.kind)].decode(raw.payload)
