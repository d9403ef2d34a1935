"""How reports look: JSON alone on standard output, or a table for people."""

from __future__ import annotations

import json
from typing import Any

from overround.units import format_cash

_HIDDEN = {"stage_latency_ns", "processes", "untrusted_by_cause", "malformed_by_reason", "mode"}
_BY_NAME = ("untrusted_by_cause", "malformed_by_reason", "refused_by_code")
_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))


def print_json(value: Any) -> None:
    """Write one JSON document, and nothing else, to standard output."""
    print(json.dumps(value), flush=True)


def format_ns(value_ns: int) -> str:
    """Return a duration with three digits and its unit, such as ``12.3 us``."""
    for size, unit in _UNITS:
        if value_ns >= size:
            return f"{value_ns / size:.3g} {unit}"
    return f"{value_ns} ns"


def print_report(report: dict[str, Any]) -> None:
    """Write a report for people to standard output."""
    print(f"mode {report['mode']}")
    for key, value in report.items():
        if key in _HIDDEN or not isinstance(value, int):
            continue
        shown = format_cash(value) if key.endswith("_micro") else f"{value:,}"
        print(f"  {key.removesuffix('_micro').replace('_', ' '):<20} {shown:>16}")
    for key in _BY_NAME:
        if report.get(key):
            print(f"  {key.replace('_', ' ')}: " + _pairs(report[key]))
    if report["stage_latency_ns"]:
        print(f"  {'stage':<20} {'p50':>10} {'p99':>10} {'max':>10} {'count':>10}")
        for stage, seen in report["stage_latency_ns"].items():
            row = " ".join(f"{format_ns(seen[column]):>10}" for column in ("p50", "p99", "max"))
            print(f"  {stage:<20} {row} {seen['count']:>10,}")
    for name, process in report["processes"].items():
        print(
            f"  process {name:<12} pid {process['pid']:<8} "
            + _pairs({key: value for key, value in process.items() if key != "pid"})
        )
    for name, place in report.get("placement", {}).items():
        print(f"  {name} waits: {place['wait']} ({place['wait_reason']})")
        print(f"  {name} sits on: {place['got']['cpus'] or 'no CPU now'} ({place['cpu_reason']})")


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(f"{key} {value}" for key, value in values.items())
