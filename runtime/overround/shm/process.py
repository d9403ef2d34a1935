"""Who a process is: pid, start time and boot; a pid alone is reused."""

from __future__ import annotations

import hashlib
from pathlib import Path

_START_TIME_FIELD = 22
"""Of /proc/<pid>/stat, counted from 1 as in proc(5)."""


def start_ticks(pid: int) -> int:
    """Return the start time of a process in clock ticks since boot, 0 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    # The command (field 2) may contain spaces and brackets: count from the last bracket.
    after_command = stat[stat.rindex(b")") + 2 :].split()
    return int(after_command[_START_TIME_FIELD - 3])


def boot_hash() -> int:
    """Return 64 bits that identify this boot of this machine; 0 where /proc does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return 0
    return int.from_bytes(hashlib.blake2b(boot.strip(), digest_size=8).digest(), "little")


def is_alive(pid: int, started: int) -> bool:
    """Return whether the process with this pid and start time still runs."""
    return pid > 0 and started > 0 and start_ticks(pid) == started
