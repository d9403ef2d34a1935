"""The one table of everything counted, gauged or timed: id, name, unit, kind, help.

Ids are positions in shared memory and part of the layout: rows are appended within their
block, never renumbered. Counters and gauges share one id space (0 to 127), histograms have
their own (0 to 15). Rows 0 to 47 are also named in ``native/include/overround/meters.h``;
a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

VALUES_PER_PROCESS = 128
HISTOGRAMS_PER_PROCESS = 16
HISTOGRAM_BUCKETS = 512
"""Log-linear: eight buckets an octave, so a bucket's bounds differ by at most 12.5 %."""


class Value(IntEnum):
    """Counters (only grow) and gauges (marked in ``METRICS``)."""

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


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: what a number means."""

    id: int
    name: str
    unit: str
    kind: str
    help: str


def _name(member: IntEnum) -> str:
    return member.name.lower()


GAUGES = frozenset(
    {
        Value.MARKETS,
        Value.MARKETS_TRUSTED,
        Value.SOCKETS,
        Value.PNL_MICRO,
        Value.FEES_MICRO,
        Value.CASH_MICRO,
    }
)

_HELP: dict[Value, str] = {}


def metric(value: Value) -> Metric:
    """Return the table row of a counter or gauge."""
    kind = "gauge" if value in GAUGES else "counter"
    unit = (
        "micro"
        if value.name.endswith("_MICRO")
        else ("bytes" if value.name.endswith("BYTES") else "count")
    )
    return Metric(value.value, _name(value), unit, kind, _HELP.get(value, ""))
