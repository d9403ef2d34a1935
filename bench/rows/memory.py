"""jemalloc against glibc: time of an update, and memory that stays resident after many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

from overround.host.allocator import MALLOC_CONF, find_jemalloc
from runner.judge import Row, Series, judge
from runner.kit import ROOT, CannotMeasure, Kit, last_line

ROUNDS = 4
PATIENCE_S = 120
UPDATES = 8_000
CHURN = ROOT / "bench" / "path" / "churn.py"
NOTES = {
    "work": "books parsed into objects and numpy buffers, replaced at random; most are dropped, "
    "the rest goes on changing for nine seconds, then memory is looked at",
    "floor is": "glibc's malloc; small Python objects go to neither, Python has arenas of its own",
}


class Churn:
    """The updates in a process of their own."""

    def __init__(self, cpu: int, library: str | None) -> None:
        self.library = library
        environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        if library is not None:
            environment |= {"LD_PRELOAD": library, "MALLOC_CONF": MALLOC_CONF["executor"]}
        self.process = subprocess.Popen(
            ["taskset", "-c", str(cpu), sys.executable, str(CHURN), str(UPDATES)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def result(self) -> dict[str, Any]:
        """Wait for what it measured."""
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        if self.process.returncode:
            raise CannotMeasure(f"churn.py: {last_line(errors)}")
        found: dict[str, Any] = json.loads(out)
        if bool(found["jemalloc"]) != (self.library is not None):
            raise CannotMeasure("jemalloc did not load")
        return found


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return the rows that are wanted; both come of the same runs.

    Both sides run at the same time, on a CPU each, which they change every round.
    """
    library = find_jemalloc()
    if library is None:
        raise CannotMeasure("no jemalloc: apt-get install libjemalloc2")
    kit.two_cpus()
    took, resident = (Series(), Series()), (Series(), Series())
    highest: list[list[float]] = [[], []]
    for turn in range(ROUNDS):
        cpus = kit.cpus if turn % 2 else kit.cpus[::-1]
        pair = [Churn(cpu, path) for cpu, path in zip(cpus, (None, library), strict=True)]
        for side, child in enumerate(pair):
            found = child.result()
            took[side].p50.append(found["p50_ns"])
            took[side].p99.append(found["p99_ns"])
            resident[side].p50.append(found["resident_bytes"])
            highest[side].append(found["highest_bytes"])
    notes: dict[str, Any] = {
        **NOTES, "MALLOC_CONF": MALLOC_CONF["executor"],
        "highest resident, MB": f"jemalloc {median(highest[1]) / 1e6:.0f}, "
        f"glibc {median(highest[0]) / 1e6:.0f}",
    }  # fmt: skip
    rows = {
        "jemalloc_time": judge("jemalloc_time", took[1], took[0], scale=1e-3, notes=notes),
        "jemalloc_resident": judge(
            "jemalloc_resident", resident[1], resident[0], scale=1e-6, notes=notes
        ),
    }
    return [rows[name] for name in names]
