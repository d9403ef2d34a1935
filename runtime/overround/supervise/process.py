"""One supervised process: spawned, watched, restarted within limits, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from overround.clock import NS_PER_S
from overround.config.schema import ARMED_VARIABLE, Memory, Supervise
from overround.errors import HostError
from overround.host.allocator import MALLOC_CONF, find_jemalloc
from overround.shm.process import start_ticks

FATAL_STATUSES = frozenset({2, 3})
"""Wrong configuration, refused by safety: starting again cannot help."""


def describe_exit(status: int) -> str:
    """Return an exit status in words: ``signal 9 (SIGKILL)`` or ``exit status 1``."""
    if status >= 0:
        return f"exit status {status}"
    return f"signal {-status} ({signal.Signals(-status).name})"


def child_environment(
    role: str,
    memory: Memory,
    key_variable: str,
    environment: Mapping[str, str],
    *,
    armed: bool = False,
) -> dict[str, str]:
    """Return the environment of a child: key and arming for the executor alone, jemalloc for
    the roles that want it. Arming is a word said at this start, never inherited from an outer
    environment.

    Raises HostError if jemalloc is demanded and not installed.
    """
    child = dict(environment)
    child.pop(ARMED_VARIABLE, None)
    if role != "executor":
        child.pop(key_variable, None)
    elif armed:
        child[ARMED_VARIABLE] = "1"
    if wants_jemalloc(role, memory):
        library = find_jemalloc()
        if library is not None:
            child["LD_PRELOAD"] = library
            child["MALLOC_CONF"] = MALLOC_CONF[role]
        elif memory.jemalloc == "on":
            raise HostError(
                "memory.jemalloc is 'on' but jemalloc is missing: apt-get install libjemalloc2"
            )
    return child


def wants_jemalloc(role: str, memory: Memory) -> bool:
    """Return whether a role is meant to run under jemalloc, installed or not."""
    return memory.jemalloc != "off" and role in memory.jemalloc_for


class ManagedProcess:
    """A child process and its history of restarts."""

    def __init__(
        self, name: str, role: str, command: list[str], environment: dict[str, str], log_path: Path
    ) -> None:
        self.name = name
        self.role = role
        self.restarts = 0
        self.started_ns = 0
        self._command = command
        self._environment = environment
        self._log_path = log_path
        self._restart_times_ns: deque[int] = deque()
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 before the first start."""
        return self._popen.pid if self._popen else 0

    @property
    def start_ticks(self) -> int:
        """Start time that, with the pid, names this very process."""
        return start_ticks(self.pid) if self._popen else 0

    def start(self, now_ns: int) -> None:
        """Spawn a fresh interpreter; its standard error goes to its own log file."""
        with self._log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                close_fds=True,
                start_new_session=True,  # the terminal's Ctrl-C is the supervisor's to handle
            )
        self.started_ns = now_ns

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while it runs."""
        return self._popen.poll() if self._popen else None

    def may_restart(self, now_ns: int, settings: Supervise) -> bool:
        """Say whether one more restart stays within the limit, and count it if so."""
        window_ns = settings.restart_window_s * NS_PER_S
        while self._restart_times_ns and now_ns - self._restart_times_ns[0] > window_ns:
            self._restart_times_ns.popleft()
        if len(self._restart_times_ns) >= settings.restarts_max:
            return False
        self._restart_times_ns.append(now_ns)
        self.restarts += 1
        return True

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self._popen and self._popen.poll() is None:
            self._popen.send_signal(number)

    def last_log_line(self) -> str:
        """Return the last line the process logged, for a message that names a cause."""
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def child_command(roster_name: str, name: str, run_dir: Path) -> list[str]:
    """Return the command line of a supervised process."""
    return [
        sys.executable,
        "-m",
        "overround.supervise.child",
        roster_name,
        name,
        os.fspath(run_dir),
    ]
