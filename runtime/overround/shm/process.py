"""Who a process is: pid, start time and boot; a pid alone is reused."""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import signal
from pathlib import Path

_STATE, _USER_TIME, _SYSTEM_TIME, _START_TIME, _LAST_CPU = 3, 14, 15, 22, 39
"""Fields of /proc/<pid>/stat, counted from 1 as in proc(5)."""

_PR_SET_DUMPABLE = 4
_PR_SET_PDEATHSIG = 1


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat at their numbers; empty if there is no process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The command (field 2) may contain spaces and brackets: count from the last bracket.
    return ["", str(pid), "", *text.rpartition(")")[2].split()]


def start_ticks(pid: int) -> int:
    """Return the start time of a process in clock ticks since boot, 0 if there is none."""
    fields = _stat(pid)
    return int(fields[_START_TIME]) if fields else 0


def is_alive(pid: int, started: int) -> bool:
    """Return whether the process with this pid and start time still runs.

    A zombie does not: it is dead, only its parent has not asked yet.
    """
    fields = _stat(pid) if pid > 0 and started > 0 else []
    return bool(fields) and int(fields[_START_TIME]) == started and fields[_STATE] not in "ZX"


def cpu_usage(pid: int) -> tuple[int, float]:
    """Return (CPU it last ran on, CPU seconds used); (-1, 0.0) if there is no such process."""
    fields = _stat(pid)
    if not fields:
        return -1, 0.0
    used = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
    return int(fields[_LAST_CPU]), used / os.sysconf("SC_CLK_TCK")


def boot_hash() -> int:
    """Return 64 bits that identify this boot of this machine; 0 where /proc does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return 0
    return int.from_bytes(hashlib.blake2b(boot.strip(), digest_size=8).digest(), "little")


def forbid_core_dumps() -> None:
    """Make the kernel write no memory of this process anywhere, and let no other user's read it.

    For whoever holds a key. The limit alone is not enough: where dumps go to a program, the
    kernel ignores it; a process that is not dumpable is never dumped.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the kernel to signal this process when its parent dies.

    The caller must then look whether the parent still lives: it may have died before.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
