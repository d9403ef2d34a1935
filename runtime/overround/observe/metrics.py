"""The one table of everything counted, gauged or timed: id, name, unit, kind, help.

Ids are positions in shared memory and part of the layout: rows are appended within their
block, never renumbered. Counters and gauges share one id space (0 to 127), histograms have
their own (0 to 15). Rows 0 to 47 are also named in ``native/include/overround/meters.h``;
a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

VALUES_PER_PROCESS = 128
HISTOGRAMS_PER_PROCESS = 16
HISTOGRAM_BUCKETS = 512
"""Log-linear: eight buckets an octave, so a bucket's bounds differ by at most 12.5 %."""


class Value(IntEnum):
    """Counters (only grow) and gauges (marked in ``_GAUGES``)."""

    # ingress, written by native code: same numbers in meters.h
    FRAMES = 0
    FRAME_BYTES = 1
    EVENTS = 2
    CHANGES = 3
    PUBLISHED = 4
    SNAPSHOTS = 5
    BURSTS = 6
    BURSTS_EXPIRED = 7
    STALE_DROPPED = 8
    PRINTS = 9
    MARKET_EVENTS = 10
    MALFORMED_JSON = 11
    MALFORMED_TYPE = 12
    MALFORMED_VALUE = 13
    MALFORMED_TOO_LARGE = 14
    UNKNOWN_EVENT = 15
    UNKNOWN_ASSET = 16
    UNTRUSTED_START = 17
    UNTRUSTED_DISAGREE = 18
    UNTRUSTED_CROSSED = 19
    UNTRUSTED_HASH = 20
    UNTRUSTED_TICK = 21
    UNTRUSTED_RECONNECT = 22
    UNTRUSTED_SILENCE = 23
    UNTRUSTED_REST = 24
    TRUSTED = 25
    TAP_BYTES = 26
    TAP_DROPPED = 27
    REST_BOOKS = 28
    REST_OLDER = 29
    REST_SAME = 30
    REST_DIFFERENT = 31
    # ingress, written by Python
    HASH_CHECKED = 32
    HASH_FAILED = 33
    BOOKS_VERIFIED = 34
    RECONNECTS = 35
    RESUBSCRIBES = 36
    PONGS = 37
    MARKETS = 38
    MARKETS_TRUSTED = 39
    SOCKETS = 40
    CONNECTS_FAILED = 41
    REST_FAILED = 42
    SOCKETS_DEAD = 43
    URING_SHAPE = 44
    URING_ENTERS = 45
    URING_STARVED = 46
    FRAMING_BROKEN = 47
    DECODED_GENERAL = 69
    # detector
    RECORDS_SEEN = 48
    RECORDS_LOST = 49
    LAPS = 50
    SWEEPS = 51
    SCANS = 52
    HITS = 53
    MIRROR_ALARMS = 54
    INTENTS = 55
    INTENTS_DROPPED = 56
    UNUSABLE_SKIPPED = 57
    # every process: its place on the machine and its heap
    PINNED = 58
    SPINNING = 59
    REGION_BYTES = 60
    LOCKED_BYTES = 61
    HUGE_BYTES = 62
    REMOTE_BYTES = 63
    GC_COLLECTIONS = 70
    GC_EMERGENCIES = 71
    GC_FOUND = 72
    RESIDENT_BYTES = 73
    JEMALLOC = 74
    REAL_TIME = 75
    ISOLATED = 76
    PLACE_REFUSED = 77
    # executor
    INTENTS_TAKEN = 80
    INTENTS_EXPIRED = 81
    INTENTS_REFUSED = 82
    ORDERS_SENT = 83
    ORDERS_ACCEPTED = 84
    ORDERS_REJECTED = 85
    ORDERS_UNKNOWN = 86
    ORDERS_CANCELED = 87
    FILLS = 88
    FILLS_SETTLED = 89
    FILLS_FAILED = 90
    PNL_MICRO = 91
    FEES_MICRO = 92
    CASH_MICRO = 93
    USER_RECONNECTS = 94
    RECONCILES = 95
    RECONCILE_DIFFERENCES = 96
    INTENTS_DUPLICATE = 97
    JOURNAL_BYTES = 98
    ORDERS_RESENT = 99
    USER_MALFORMED = 100
    SETTLE_OVERDUE = 101
    LEDGER_RECORDS = 102
    LEDGER_FAILURES = 103
    LEDGER_LAG_RECORDS = 104
    HTTP_CONNECTS = 105
    HTTP_CONNECTS_FAILED = 106
    HTTP_NO_ANSWER = 107
    ORDERS_HELD = 108
    VENUE_TROUBLES = 109
    VENUE_PAUSES = 110
    CLOCK_OFFSET_MS = 111
    POOL_HITS = 112
    POOL_MISSES = 113
    POOL_READY = 114
    HEARTBEATS = 115
    HEARTBEATS_FAILED = 116
    HEARTBEAT_LAPSES = 117
    CANCELS_DELAYED = 118
    PLANS_BEGUN = 119
    PLANS_REPAIRED = 120
    QUOTES_PLACED = 121
    QUOTES_CANCELED = 122
    PERMITS_USED = 127
    USER_TRUSTED = 123
    USER_MISSED = 124
    LOOK_UPS_FAILED = 125
    ORDERS_ORPHANED = 126


class Histogram(IntEnum):
    """Latency stages, all in nanoseconds."""

    VENUE_TO_RECV = 0
    FRAME = 1
    RECV_TO_PUBLISH = 2
    PUBLISH_TO_SEEN = 3
    SEEN_TO_INTENT = 4
    INTENT_TO_TAKEN = 5
    GATE = 6
    SIGN = 7
    JOURNAL = 8
    SEND_TO_ACK = 9
    RECV_TO_SENT = 10
    ACK_TO_SETTLED = 11
    HTTP_WAIT = 12
    INTENT_TO_WIRE = 13
    GC_PAUSE = 14


class Kind(StrEnum):
    """A counter only grows; a gauge says how things stand."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: what a number means."""

    id: int
    name: str
    unit: str
    kind: Kind
    help: str


_GAUGES = frozenset(
    {
        Value.MARKETS,
        Value.MARKETS_TRUSTED,
        Value.SOCKETS,
        Value.URING_SHAPE,
        Value.PNL_MICRO,
        Value.FEES_MICRO,
        Value.CASH_MICRO,
        Value.LEDGER_LAG_RECORDS,
        Value.CLOCK_OFFSET_MS,
        Value.POOL_READY,
        Value.USER_TRUSTED,
        Value.PINNED,
        Value.SPINNING,
        Value.REGION_BYTES,
        Value.LOCKED_BYTES,
        Value.HUGE_BYTES,
        Value.REMOTE_BYTES,
        Value.RESIDENT_BYTES,
        Value.JEMALLOC,
        Value.REAL_TIME,
        Value.ISOLATED,
        Value.PLACE_REFUSED,
    }
)

_HELP: dict[Value, str] = {
    Value.FRAMES: "messages received on market sockets",
    Value.FRAME_BYTES: "bytes of these messages",
    Value.EVENTS: "events decoded (a frame may hold several)",
    Value.CHANGES: "level changes applied to books",
    Value.PUBLISHED: "records written to the changes ring",
    Value.SNAPSHOTS: "whole books loaded from the stream",
    Value.BURSTS: "bursts that ended",
    Value.BURSTS_EXPIRED: "bursts ended by time, without a later frame",
    Value.STALE_DROPPED: "events older than the market's snapshot",
    Value.PRINTS: "trades reported by the venue",
    Value.MARKET_EVENTS: "tick changes, new and resolved markets",
    Value.MALFORMED_JSON: "frames whose structure is broken; nothing of them is applied",
    Value.MALFORMED_TYPE: "objects with a field of the wrong type",
    Value.MALFORMED_VALUE: "objects with a value off the grid or out of range",
    Value.MALFORMED_TOO_LARGE: "frames or objects beyond a limit",
    Value.UNKNOWN_EVENT: "objects of an event type we do not know",
    Value.UNKNOWN_ASSET: "entries for a token that is not in the catalog",
    Value.UNTRUSTED_START: "markets that began without proof, or were left by their ingress",
    Value.UNTRUSTED_DISAGREE: "trust lost: best bid or ask differed at the end of a burst",
    Value.UNTRUSTED_CROSSED: "trust lost: book crossed at the end of a burst",
    Value.UNTRUSTED_HASH: "trust lost: the venue's hash of the whole book differed",
    Value.UNTRUSTED_TICK: "trust lost: tick size changed, until the next snapshot",
    Value.UNTRUSTED_RECONNECT: "trust lost: the socket was lost",
    Value.UNTRUSTED_SILENCE: "trust lost: no data and no answer by REST",
    Value.UNTRUSTED_REST: "trust lost: a newer REST book differed",
    Value.TRUSTED: "times a market gained trust",
    Value.TAP_BYTES: "bytes appended to the tap",
    Value.TAP_DROPPED: "records the full tap could not take",
    Value.REST_BOOKS: "books received by REST",
    Value.REST_OLDER: "REST books older than ours: they prove nothing",
    Value.REST_SAME: "REST books equal to ours",
    Value.REST_DIFFERENT: "REST books newer than ours and different",
    Value.HASH_CHECKED: "whole-book hashes compared",
    Value.HASH_FAILED: "whole-book hashes that differed",
    Value.BOOKS_VERIFIED: "states of whole books proved by the venue's hash",
    Value.RECONNECTS: "market sockets opened again",
    Value.RESUBSCRIBES: "subscriptions repeated to get a snapshot",
    Value.PONGS: "answers to our pings",
    Value.MARKETS: "markets followed",
    Value.MARKETS_TRUSTED: "markets whose book is trusted now",
    Value.SOCKETS: "market sockets open now",
    Value.CONNECTS_FAILED: "market sockets that could not be opened",
    Value.REST_FAILED: "requests for books that failed, and requests dropped unasked",
    Value.SOCKETS_DEAD: "market sockets left by us: no answer to pings, or no data",
    Value.URING_SHAPE: "market sockets on io_uring: 0 no, 1 in the loop, 2 own thread, 3 spinning",
    Value.URING_ENTERS: "system calls into the ring of the market sockets",
    Value.URING_STARVED: "times receiving paused because every receive buffer was in use",
    Value.DECODED_GENERAL: "market frames in a form that the fast decoder does not guess",
    Value.FRAMING_BROKEN: "market sockets ended because the venue broke the framing",
    Value.RECORDS_SEEN: "change records a detector took",
    Value.RECORDS_LOST: "change records overwritten before a detector took them",
    Value.LAPS: "times a detector was lapped and swept the board",
    Value.SWEEPS: "times a detector read the whole board",
    Value.SCANS: "sets scanned by kernels",
    Value.HITS: "edges confirmed in integers from board slots",
    Value.MIRROR_ALARMS: "trusted books seen with bid at or above ask",
    Value.INTENTS: "intents written to the executor's ring",
    Value.INTENTS_DROPPED: "intents dropped because the ring was full",
    Value.UNUSABLE_SKIPPED: "hits skipped because a book was not usable",
    Value.PINNED: "1 while the process runs on the CPU chosen for it and nowhere else",
    Value.SPINNING: "1 where the process waits without ever sleeping",
    Value.REGION_BYTES: "shared regions that the process has open",
    Value.LOCKED_BYTES: "of these, locked into memory",
    Value.HUGE_BYTES: "of these, mapped by huge pages",
    Value.REMOTE_BYTES: "of these, on another memory node than the process",
    Value.GC_COLLECTIONS: "garbage collections, all of them made in quiet moments",
    Value.GC_EMERGENCIES: "of these, made because the process had grown beyond its limit",
    Value.GC_FOUND: "objects in dead cycles that they found",
    Value.RESIDENT_BYTES: "memory in RAM, regions included (shared ones count in each process)",
    Value.JEMALLOC: "1 where jemalloc serves the process, asked from inside",
    Value.REAL_TIME: "1 where the process's loop has real-time priority",
    Value.ISOLATED: "1 where the process's CPU is kept apart, by boot line or partition",
    Value.PLACE_REFUSED: "what was asked of the machine for the process and refused; see its log",
    Value.INTENTS_TAKEN: "intents journaled and taken from the ring",
    Value.INTENTS_EXPIRED: "intents refused because they were too old",
    Value.INTENTS_REFUSED: "intents the risk gate refused",
    Value.ORDERS_SENT: "orders whose bytes were sent",
    Value.ORDERS_ACCEPTED: "orders the venue accepted",
    Value.ORDERS_REJECTED: "orders the venue rejected",
    Value.ORDERS_UNKNOWN: "sends without a usable answer",
    Value.ORDERS_CANCELED: "orders ended by a cancel",
    Value.FILLS: "fills booked as pending",
    Value.FILLS_SETTLED: "fills that settled",
    Value.FILLS_FAILED: "fills that failed to settle and were reversed",
    Value.PNL_MICRO: "settled cash flow plus the least that settled positions redeem for",
    Value.FEES_MICRO: "fees of settled fills",
    Value.CASH_MICRO: "cash as the ledger has it",
    Value.USER_RECONNECTS: "user sockets opened again",
    Value.RECONCILES: "comparisons of our orders and trades with the venue's",
    Value.RECONCILE_DIFFERENCES: "differences these comparisons found and mended",
    Value.INTENTS_DUPLICATE: "intents seen before, by producer and sequence",
    Value.JOURNAL_BYTES: "bytes appended to the journal",
    Value.ORDERS_RESENT: "orders sent again with identical bytes",
    Value.USER_MALFORMED: "events of the user channel that could not be read",
    Value.SETTLE_OVERDUE: "fills seen waiting for settlement beyond the alarm limit",
    Value.PERMITS_USED: "orders that left in one native call, judged by the gate in advance",
    Value.HEARTBEATS: "beats of the dead-man switch that the venue counted",
    Value.HEARTBEATS_FAILED: "beats without a usable answer",
    Value.HEARTBEAT_LAPSES: "times the venue cancelled everything for want of a beat",
    Value.CANCELS_DELAYED: "strategies' cancels that waited for the rate limit",
    Value.LEDGER_RECORDS: "journal records projected into the database",
    Value.LEDGER_FAILURES: "transactions of the database that failed, and deaths of its projector",
    Value.LEDGER_LAG_RECORDS: "journal records that are not in the database yet",
    Value.HTTP_CONNECTS: "connections to the venue's REST interface opened",
    Value.HTTP_CONNECTS_FAILED: "such connections that failed, or were closed before any answer",
    Value.HTTP_NO_ANSWER: "requests whose bytes were sent and that got no whole answer",
    Value.ORDERS_HELD: "orders not sent: no connection, budget, pause, clock or login",
    Value.VENUE_TROUBLES: "answers that show a trouble of the venue (425, 429, 503, 5xx, 401)",
    Value.VENUE_PAUSES: "times orders or queries were held back because of a trouble",
    Value.CLOCK_OFFSET_MS: "venue's clock minus ours, measured to half a second",
    Value.POOL_HITS: "orders that had been signed ahead of their intent",
    Value.POOL_MISSES: "orders that had to be signed when their intent came",
    Value.POOL_READY: "orders signed ahead that wait for an intent now",
    Value.PLANS_BEGUN: "plans of several legs that passed the gate",
    Value.PLANS_REPAIRED: "orders that complete a missed leg or sell a filled one back",
    Value.QUOTES_PLACED: "orders placed for the quotes strategies want",
    Value.QUOTES_CANCELED: "cancels of quotes that are no longer wanted",
    Value.USER_TRUSTED: "1 while the user channel is trusted: compared since it listens",
    Value.USER_MISSED: "fills that a listing told of and a trusted user channel had not",
    Value.LOOK_UPS_FAILED: "look-ups of orders of unknown outcome that failed",
    Value.ORDERS_ORPHANED: "open orders at the venue that no journal record speaks of",
}

STAGES: dict[Histogram, str] = {
    Histogram.VENUE_TO_RECV: "venue's timestamp to receipt (two clocks: the difference lies)",
    Histogram.FRAME: "the one native call of a frame: tap, decode, apply, publish",
    Histogram.RECV_TO_PUBLISH: "receipt to the record in the changes ring",
    Histogram.PUBLISH_TO_SEEN: "record in the ring to its reading by a detector",
    Histogram.SEEN_TO_INTENT: "reading to the intent in the executor's ring",
    Histogram.INTENT_TO_TAKEN: "intent in the ring to its reading by the executor",
    Histogram.GATE: "the risk gate",
    Histogram.SIGN: "amounts, packing and signature of one order",
    Histogram.JOURNAL: "append to the journal",
    Histogram.SEND_TO_ACK: "first byte of a request to its answer",
    Histogram.RECV_TO_SENT: "receipt of the change that caused an order to its first byte",
    Histogram.ACK_TO_SETTLED: "venue's answer to settlement",
    Histogram.HTTP_WAIT: "waiting for a connection and for rate tokens before a request is sent",
    Histogram.INTENT_TO_WIRE: "from the strategy's decision to its bytes handed to the connection",
    Histogram.GC_PAUSE: "one garbage collection: how long the process stood still",
}


def metric(value: Value) -> Metric:
    """Return the table row of a counter or gauge."""
    units = {"MICRO": "micro-units", "BYTES": "bytes", "MS": "ms"}
    unit = units.get(value.name.rpartition("_")[2], "count")
    kind = Kind.GAUGE if value in _GAUGES else Kind.COUNTER
    return Metric(value.value, value.name.lower(), unit, kind, _HELP[value])


def metrics() -> list[Metric]:
    """Return every counter and gauge in the order of their ids."""
    return [metric(value) for value in sorted(Value)]
