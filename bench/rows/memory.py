"""jemalloc against glibc: time of an update, and memory that stays resident after many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from overround.host.allocator import MALLOC_CONF, find_jemalloc
from runner.judge import Row, Series, judge
from runner.kit import ROOT, CannotMeasure, Kit, last_line

ROUNDS_MAX = 12
UPDATES = 2_000
CHURN = ROOT / "bench" / "path" / "churn.py"
NOTES = {
    "work": "REST books parsed into objects and numpy buffers, replaced at random, most of them "
    "dropped at the end; the hot path allocates nothing a message, so no allocator changes it",
    "floor is": "glibc's malloc; small Python objects go to neither, Python has arenas of its own",
}


def churn(cpu: int, library: str | None) -> dict[str, Any]:
    """Run the updates in a process of their own; return what it measured."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    if library is not None:
        environment |= {"LD_PRELOAD": library, "MALLOC_CONF": MALLOC_CONF["executor"]}
    done = subprocess.run(
        ["taskset", "-c", str(cpu), sys.executable, str(CHURN), str(UPDATES)],
        capture_output=True, text=True, check=False, env=environment, timeout=120,
    )  # fmt: skip
    if done.returncode:
        raise CannotMeasure(f"churn.py: {last_line(done.stderr)}")
    found: dict[str, Any] = json.loads(done.stdout)
    if bool(found["jemalloc"]) != (library is not None):
        raise CannotMeasure("jemalloc did not load")
    return found


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return the rows that are wanted; both come of the same runs."""
    library = find_jemalloc()
    if library is None:
        raise CannotMeasure("no jemalloc: apt-get install libjemalloc2")
    time, resident = (Series(), Series()), (Series(), Series())
    highest: list[list[float]] = [[], []]
    for _ in range(max(10, min(ROUNDS_MAX, kit.rounds))):
        for side, path in enumerate((None, library)):
            found = churn(kit.cpus[-1], path)
            time[side].p50.append(found["p50_ns"])
            time[side].p99.append(found["p99_ns"])
            resident[side].p50.append(found["resident_bytes"])
            highest[side].append(found["highest_bytes"])
    middles = [sorted(values)[len(values) // 2] / 1e6 for values in highest]
    notes: dict[str, Any] = {
        **NOTES, "MALLOC_CONF": MALLOC_CONF["executor"],
        "highest resident, MB": f"jemalloc {middles[1]:.0f}, glibc {middles[0]:.0f}",
    }  # fmt: skip
    rows = {
        "jemalloc_time": judge("jemalloc_time", time[1], time[0], scale=1e-3, notes=notes),
        "jemalloc_resident": judge(
            "jemalloc_resident", resident[1], resident[0], scale=1e-6, notes=notes
        ),
    }
    return [rows[name] for name in names]
