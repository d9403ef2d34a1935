"""What the numbers were measured on, and whether two CPUs of it are cores of their own."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runner.kit import ROOT, CannotMeasure, Kit

__all__ = ["SIBLING_MIN", "choose_cpus", "prepare", "record"]

RING_PARTS = ("broadcast", "clock", "segment", "sleep", "slots", "spsc")
"""Sources of the runtime that the ring program needs."""
SIBLING_MIN = 1.25
"""A loop that takes this much longer while the other CPU runs it too shares a core with it."""
PACKAGES = ("numpy", "numba", "llvmlite", "cffi", "uvloop", "picows", "msgspec")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def choose_cpus(allowed: set[int], siblings: dict[int, set[int]]) -> tuple[int, ...]:
    """Return two CPUs that are no siblings, the highest ones first; one if there is no pair.

    The lowest CPUs usually serve the interrupts.
    """
    order = sorted(allowed, reverse=True)
    for first in order:
        for second in order:
            if second != first and second not in siblings.get(first, set()):
                return tuple(sorted((first, second)))
    return tuple(order[:1])


def _siblings(cpu: int) -> set[int]:
    text = _read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _fifo() -> str:
    """Return what asking for the real-time class says here, without keeping it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError as error:
        return f"refused: {error.strerror}"
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return "granted"


def _model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def record() -> dict[str, Any]:
    """Return the facts of this machine, tree and moment."""
    flags = next(
        (line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("flags")), ""
    )
    return {
        "machine": platform.machine(),
        "cpu": _model(),
        "cpus": os.cpu_count(),
        "avx512": "avx512f" in flags,
        "virtual": "hypervisor" in flags,
        "kernel": platform.release(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "none shown",
        "isolated": _read("/sys/devices/system/cpu/isolated"),
        "load": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "compiler": _said("gcc", "--version").partition("\n")[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _said("git", "rev-parse", "HEAD"),
        "uncommitted": bool(_said("git", "status", "--porcelain", "--untracked-files=no")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def prepare(kit: Kit) -> None:
    """Fill in the host record and choose the CPUs of this run."""
    allowed = os.sched_getaffinity(0)
    kit.cpus = choose_cpus(allowed, {cpu: _siblings(cpu) for cpu in allowed})
    kit.host = record()
    kit.host["cpus_used"] = list(kit.cpus)
    fifo = _fifo()
    kit.host["fifo"] = fifo if kit.fifo else "not asked for"
    kit.fifo = kit.fifo and fifo == "granted"
    kit.host["both_busy"] = None
    if len(kit.cpus) < 2:
        kit.host["pair"] = "there is one CPU only"
        return
    try:
        busy = kit.series(kit.compile("hop", "hop.c", parts=RING_PARTS), "alone")["alone"].value
    except CannotMeasure as error:
        kit.host["pair"] = f"unknown: {error}"
        return
    kit.host["both_busy"] = busy
    kit.host["pair"] = "siblings" if busy >= SIBLING_MIN else "cores of their own"
