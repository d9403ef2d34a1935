"""What a CPU really does to whoever runs on it: a spin that notes every gap.

The one test of isolation that counts. A child process pins itself to the CPU and reads the clock
without pause; where two readings are far apart, somebody else had the CPU.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import Final

import msgspec

from overround.clock import NS_PER_MS, NS_PER_US, monotonic_ns
from overround.errors import HostError
from overround.host.tree import Tree

__all__ = ["GAP_NS", "Jitter", "measure"]

GAP_NS: Final = 10 * NS_PER_US
"""A longer gap between two readings counts: the loop itself takes about 0.1 us."""
WARM_MS: Final = 20
TIMEOUT_S: Final = 60


class Jitter(msgspec.Struct, frozen=True):
    """What a spin on one CPU saw."""

    cpu: int
    spin_ns: int
    longest_ns: int
    gaps: int
    """Gaps above 10 us."""
    lost_ns: int
    """Their sum: time that belonged to somebody else."""
    timer_interrupts: int
    """Local timer interrupts of the CPU meanwhile; -1 where the kernel does not say."""
    switches: int
    """Involuntary context switches of the spinning thread."""


def measure(cpu: int, milliseconds: int = 1_000) -> Jitter:
    """Spin on ``cpu`` for a while and return what was seen; HostError if it cannot be had."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(cpu), str(milliseconds)],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it died"]
        raise HostError(f"cannot measure CPU {cpu}: {lines[-1]}")
    return msgspec.json.decode(done.stdout, type=Jitter)


def _timer_interrupts(cpu: int) -> int:
    lines = (Tree().read("/proc/interrupts") or "").splitlines()
    for line in lines[1:]:
        name, *counts = line.split()
        column = lines[0].split().index(f"CPU{cpu}") if f"CPU{cpu}" in lines[0] else -1
        if name == "LOC:" and column >= 0:
            return int(counts[column])
    return -1


def _spin(end_ns: int) -> tuple[int, int, int]:
    """Read the clock until ``end_ns``; return longest gap, number of gaps, and their sum."""
    longest = gaps = lost = 0
    last = monotonic_ns()
    while last < end_ns:
        now = monotonic_ns()
        gap = now - last
        last = now
        if gap > GAP_NS:
            gaps += 1
            lost += gap
        if gap > longest:
            longest = gap
    return longest, gaps, lost


def _main() -> None:
    cpu, milliseconds = int(sys.argv[1]), int(sys.argv[2])
    os.sched_setaffinity(0, {cpu})
    _spin(monotonic_ns() + WARM_MS * NS_PER_MS)
    interrupts = _timer_interrupts(cpu)
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    begun = monotonic_ns()
    longest, gaps, lost = _spin(begun + milliseconds * NS_PER_MS)
    found = {
        "cpu": cpu,
        "spin_ns": monotonic_ns() - begun,
        "longest_ns": longest,
        "gaps": gaps,
        "lost_ns": lost,
        "timer_interrupts": _timer_interrupts(cpu) - interrupts if interrupts >= 0 else -1,
        "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches,
    }
    os.write(sys.stdout.fileno(), json.dumps(found).encode())


if __name__ == "__main__":
    _main()
