"""What ``doctor`` looks at: each check reads one fact and says what it means.

Read-only and unprivileged; a file that is absent is an answer, never a failure.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from overround.host.allocator import find_jemalloc

MEMLOCK_WANTED_BYTES = 64 * 2**20
SHM_WANTED_BYTES = 256 * 2**20
SPIN_CPUS_MIN = 4
"""With fewer, processes that spin take the CPU of those they wait for."""


class Verdict(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    BETTER = "could be better"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked fact: what was seen, what it means and the one command that changes it."""

    check: str
    value: str
    verdict: Verdict
    why: str
    change: str = ""


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    fine = sys.version_info >= (3, 11)
    return Finding(
        "python", version, Verdict.GOOD if fine else Verdict.BAD, "3.11 or newer is required"
    )


def _cpus() -> Finding:
    usable = len(os.sched_getaffinity(0))
    fine = usable >= SPIN_CPUS_MIN
    return Finding(
        "cpus",
        str(usable),
        Verdict.GOOD if fine else Verdict.BETTER,
        "one core a process; below four, waiting sleeps instead of spinning",
    )


def _isolated() -> Finding:
    isolated = _read("/sys/devices/system/cpu/isolated")
    return Finding(
        "isolated cpus",
        isolated or "none",
        Verdict.GOOD if isolated else Verdict.BETTER,
        "a hot process shares its core with nobody only on an isolated one",
        "" if isolated else "boot with isolcpus=domain,managed_irq,<cpus>",
    )


def _clock_source() -> Finding:
    path = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    source = _read(path) or "unknown"
    fine = source in {"tsc", "kvm-clock", "arch_sys_counter"}
    return Finding(
        "clock source",
        source,
        Verdict.GOOD if fine else Verdict.BETTER,
        "reading the clock must not be a system call",
    )


def _memlock() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    unlimited = soft == resource.RLIM_INFINITY
    fine = unlimited or soft >= MEMLOCK_WANTED_BYTES or os.geteuid() == 0
    return Finding(
        "memory lock limit",
        "unlimited" if unlimited else f"{soft // 1024} KiB",
        Verdict.GOOD if fine else Verdict.BETTER,
        "shared regions are locked so that the hot path never faults",
        "" if fine else "set LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
    )


def _shared_memory() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Finding(
            "/dev/shm",
            "absent",
            Verdict.BAD,
            "shared regions live there",
            "mount -t tmpfs tmpfs /dev/shm",
        )
    fine = free >= SHM_WANTED_BYTES
    return Finding(
        "/dev/shm free",
        f"{free // 2**20} MiB",
        Verdict.GOOD if fine else Verdict.BAD,
        "shared regions live there",
        "" if fine else "mount -o remount,size=1G /dev/shm",
    )


def _huge_pages() -> Finding:
    shmem = _read("/sys/kernel/mm/transparent_hugepage/shmem_enabled") or "absent"
    chosen = shmem.partition("[")[2].partition("]")[0] or shmem
    return Finding(
        "huge pages for shared memory",
        chosen,
        Verdict.GOOD,
        "collapsed on request (MADV_COLLAPSE, Linux 6.1), so the setting need not change",
    )


def _governor() -> Finding:
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    fine = governor in {None, "performance"}
    return Finding(
        "cpu governor",
        governor or "none (fixed by the hypervisor)",
        Verdict.GOOD if fine else Verdict.BETTER,
        "a sleeping clock costs the first microseconds of a burst",
        "" if fine else "cpupower frequency-set -g performance",
    )


def _jemalloc() -> Finding:
    path = find_jemalloc()
    return Finding(
        "jemalloc",
        path or "not installed",
        Verdict.GOOD if path else Verdict.BETTER,
        "detectors run under it when it is there: less memory stays behind after churn",
        "" if path else "apt-get install libjemalloc2",
    )


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _cpus,
    _isolated,
    _clock_source,
    _memlock,
    _shared_memory,
    _huge_pages,
    _governor,
    _jemalloc,
)


def run_checks() -> Iterator[Finding]:
    """Yield a finding for every check of the host, in a fixed order."""
    for check in CHECKS:
        yield check()
