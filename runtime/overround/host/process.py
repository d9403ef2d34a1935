"""Other processes, identified by pid and start time, never by pid alone."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_START_TIME_FIELD = 22
_LAST_CPU_FIELD = 39
_USER_TIME_FIELD = 14


def _stat_fields(pid: int) -> list[str] | None:
    """Fields 3 and up of /proc/PID/stat; the name in field 2 may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def start_ticks(pid: int) -> int:
    """Return the start time of a process in clock ticks since boot; 0 if there is none."""
    fields = _stat_fields(pid)
    return int(fields[_START_TIME_FIELD - 3]) if fields else 0


def is_alive(pid: int, started: int) -> bool:
    """Say whether this very process (same pid, same start) still runs and is no zombie."""
    fields = _stat_fields(pid)
    return (
        fields is not None
        and int(fields[_START_TIME_FIELD - 3]) == started
        and fields[0] not in {"Z", "X"}
    )


def cpu_usage(pid: int) -> tuple[int, float]:
    """Return (CPU it last ran on, CPU seconds used); (-1, 0.0) if there is no such process."""
    fields = _stat_fields(pid)
    if fields is None:
        return -1, 0.0
    used = int(fields[_USER_TIME_FIELD - 3]) + int(fields[_USER_TIME_FIELD - 2])
    return int(fields[_LAST_CPU_FIELD - 3]), used / os.sysconf("SC_CLK_TCK")


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Ask the kernel to signal this process when its parent dies.

    The caller must then compare ``os.getppid()`` with the parent it expects: it may have
    died before the request.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
