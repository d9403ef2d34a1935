"""What an instance did, read from its meters: the same numbers for demo, stat and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from overround.decide.codes import RefusalCode
from overround.observe.metrics import Histogram, Value
from overround.shm.meters import MetersView
from overround.shm.process import cpu_usage
from overround.shm.roster import ProcessRow
from overround.supervise.placed import placement

UNTRUSTED = tuple(
    value
    for value in Value
    # Every market starts untrusted; only losing trust is an event.
    if value.name.startswith("UNTRUSTED_") and value is not Value.UNTRUSTED_START
)
MALFORMED = tuple(value for value in Value if value.name.startswith("MALFORMED_"))

_REPORTED = {
    "frames": Value.FRAMES,
    "changes": Value.CHANGES,
    "published": Value.PUBLISHED,
    "markets": Value.MARKETS,
    "markets_trusted": Value.MARKETS_TRUSTED,
    "books_verified": Value.BOOKS_VERIFIED,
    "hash_checked": Value.HASH_CHECKED,
    "hash_failed": Value.HASH_FAILED,
    "unknown": Value.UNKNOWN_EVENT,
    "unknown_assets": Value.UNKNOWN_ASSET,
    "stale": Value.STALE_DROPPED,
    "reconnects": Value.RECONNECTS,
    "hits": Value.HITS,
    "mirror_alarms": Value.MIRROR_ALARMS,
    "intents": Value.INTENTS,
    "intents_dropped": Value.INTENTS_DROPPED,
    "refused": Value.INTENTS_REFUSED,
    "expired": Value.INTENTS_EXPIRED,
    "orders_sent": Value.ORDERS_SENT,
    "orders_accepted": Value.ORDERS_ACCEPTED,
    "rejected": Value.ORDERS_REJECTED,
    "unknown_outcomes": Value.ORDERS_UNKNOWN,
    "fills": Value.FILLS,
    "settled": Value.FILLS_SETTLED,
    "failed": Value.FILLS_FAILED,
    "pnl_micro": Value.PNL_MICRO,
    "fees_micro": Value.FEES_MICRO,
}


def build_report(
    processes: Iterable[ProcessRow],
    meters: Callable[[str], MetersView],
    usage: Callable[[int], tuple[int, float]] = cpu_usage,
) -> dict[str, Any]:
    """Return counters, stage latencies in ns and process states of one instance.

    ``counters`` holds whatever was counted or gauged and is not zero, by its name in the table
    of metrics; the other keys are those that people ask for first. ``usage`` gives (last CPU,
    CPU seconds) of a pid, also of one that has ended.
    """
    rows = list(processes)
    views = {row.name: meters(row.name) for row in rows}

    def total(*values: Value) -> int:
        return sum(view.value(value) for view in views.values() for value in values)

    report: dict[str, Any] = {key: total(value) for key, value in _REPORTED.items()}
    report["untrusted_events"] = total(*UNTRUSTED)
    report["untrusted_by_cause"] = _nonzero(views.values(), UNTRUSTED, "untrusted_")
    report["refused_by_code"] = _refusals(meters("refusals"))
    report["malformed"] = total(*MALFORMED)
    report["malformed_by_reason"] = _nonzero(views.values(), MALFORMED, "malformed_")
    report["counters"] = _nonzero(views.values(), Value)
    report["stage_latency_ns"] = stage_latencies(views.values())
    report["processes"] = {row.name: _process(row, *usage(row.pid)) for row in rows}
    report["placement"] = placement(rows, views)
    return report


def _refusals(view: MetersView) -> dict[str, int]:
    """Return how often each refusal was given, by its name; only those that were."""
    names = {code.value: code.name.lower() for code in RefusalCode}
    return {names.get(code, str(code)): count for code, count in view.snapshot().items()}


def stage_latencies(views: Iterable[MetersView]) -> dict[str, dict[str, int]]:
    """Return count, p50, p99 and max in ns of every stage that was timed at least once."""
    stages: dict[str, dict[str, int]] = {}
    for view in views:
        for stage in Histogram:
            seen = view.histogram(stage)
            name = stage.name.lower()
            # What several processes time is shown as the worst of them has it.
            if seen.count and seen.max >= stages.get(name, {"max": 0})["max"]:
                stages[name] = {
                    "p50": seen.percentile(50),
                    "p99": seen.percentile(99),
                    "max": seen.max,
                    "count": seen.count,
                }
    return stages


def _nonzero(
    views: Iterable[MetersView], values: Iterable[Value], prefix: str = ""
) -> dict[str, int]:
    views = list(views)
    totals = {
        value.name.lower().removeprefix(prefix): sum(view.value(value) for view in views)
        for value in values
    }
    return {name: count for name, count in totals.items() if count}


def _process(row: ProcessRow, last_cpu: int, seconds: float) -> dict[str, Any]:
    return {
        "pid": row.pid,
        "cpu": row.cpu if row.cpu >= 0 else last_cpu,
        "pinned": row.cpu >= 0,
        "cpu_seconds": round(seconds, 2),
        "restarts": row.restarts,
        "state": row.state.name.lower(),
    }
