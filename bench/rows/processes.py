"""Tick to order through the real processes: hop by hop, of many edges and of a plain demo."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from runner.judge import Row, unmeasured
from runner.kit import ROOT, CannotMeasure, Kit

SECONDS = 12
PATIENCE_S = 180
HOPS = (
    "recv_to_publish", "publish_to_seen", "seen_to_intent", "intent_to_taken", "gate", "sign",
    "journal",
)  # fmt: skip
"""Stages of one event that lie behind each other; the last three are inside intent to wire."""
COMMANDS: dict[str, list[str]] = {
    "processes": [sys.executable, str(ROOT / "bench/path/processes.py"), "--seconds", str(SECONDS)],
    "demo": [str(ROOT / ".venv/bin/overround"), "demo", "--seconds", str(SECONDS), "--json"],
}
"""Edges five times a second, and what a visitor sees: one every two seconds."""


def stages_of(name: str) -> dict[str, Any]:
    """Run it; return the latency of its stages in ns. Raises CannotMeasure if no order came."""
    try:
        done = subprocess.run(
            COMMANDS[name], capture_output=True, text=True, check=False, timeout=PATIENCE_S,
            cwd=ROOT,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise CannotMeasure(f"{name} took longer than {PATIENCE_S} s") from late
    if done.returncode:
        raise CannotMeasure(f"{name} ended with {done.returncode}: {done.stderr.strip()[-120:]}")
    stages: dict[str, Any] = json.loads(done.stdout)["stage_latency_ns"]
    if not stages.get("recv_to_sent", {}).get("count"):
        raise CannotMeasure(f"no order came of a fresh event within {SECONDS} s of {name}")
    return stages


def told(stages: dict[str, Any]) -> str:
    """Return a line: the whole way, then each hop's median and its share of all hops' medians."""
    whole = stages["recv_to_sent"]
    hops = {hop: stages[hop]["p50"] / 1e3 for hop in HOPS if stages.get(hop, {}).get("count")}
    total = sum(hops.values())
    parts = [f"{hop} {us:.1f} us ({us / total:.0%})" for hop, us in hops.items()]
    return (
        f"{whole['count']} events, p50 {whole['p50'] / 1e3:.0f} us, p99 {whole['p99'] / 1e3:.0f} us"
        f"; hops by their medians: {', '.join(parts)}"
    )


def measure(_: Kit, names: list[str]) -> list[Row]:
    """Return ``tick_to_order_processes``; the processes lie as the runtime places them here."""
    many = stages_of("processes")
    notes = {"edges five times a second": told(many)}
    try:
        notes["demo, an edge every two seconds"] = told(stages_of("demo"))
    except CannotMeasure as error:
        notes["demo"] = str(error)
    notes["on the same CPUs"] = "the exchange in the box and its traders, whose load is in this"
    subject = many["recv_to_sent"]["p50"] / 1e3
    return [unmeasured(names[0], "reported only: no target", subject=subject, notes=notes)]
