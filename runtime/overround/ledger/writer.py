"""The executor's end of the projection: starts the process, listens to it, starts it again.

A thread that sleeps: it wakes for a status line, at most ten a second, and twice a second to
refresh the gauge of the lag. Trading never waits for it, and stopping waits for the limit only.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, Self

import msgspec

from overround import clock
from overround.observe.metrics import Value

__all__ = ["Counts", "LedgerWriter", "Options", "Status"]

LAG_INTERVAL_S: Final = 0.5
RESTART_S: Final = 0.5
RESTART_MAX_S: Final = 30.0


class Options(msgspec.Struct):
    """What the executor tells its projector; holds no secret."""

    instance: str
    database_url: str
    batch_records: int
    poll_ms: int
    stop_limit_ms: int


class Status(msgspec.Struct):
    """One line of standard output: how far, how many since the last line, what went wrong."""

    sequence: int = 0
    projected: int = 0
    failures: int = 0
    note: str = ""


class Counts(Protocol):
    """Where counters and gauges go: ``shm.meters.Meters`` fits."""

    def add(self, value: int, amount: int = 1) -> None:
        """Add to a counter."""

    def set(self, value: int, amount: int) -> None:
        """Set a gauge."""


class LedgerWriter:
    """Keeps one projector running between ``__enter__`` and ``__exit__``."""

    def __init__(
        self,
        journal: Path,
        run_dir: Path,
        options: Options,
        *,
        counts: Counts,
        newest: Callable[[], int],
        notice: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``newest`` returns the journal's last sequence; ``notice`` takes a line for the log."""
        self._command = [
            sys.executable, "-m", "overround.ledger.child", str(journal), str(run_dir),
            msgspec.json.encode(options).decode(),
        ]  # fmt: skip
        self._limit_s = options.stop_limit_ms / 1_000
        self._counts = counts
        self._newest = newest
        self._notice = notice
        self._environment = dict(environment)
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._sequence = 0
        self.child_pid = 0
        """Process id of the projector that runs now, 0 while there is none."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the projector finish what is in the journal, but no longer than the limit."""
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join(self._limit_s + 1)
        if not self._thread.is_alive():
            os.close(self._wake)

    def _run(self) -> None:
        delay_s = RESTART_S
        while not self._stopping.is_set():
            before = self._sequence
            note = "the ledger's projector died; it is started again"
            try:
                self._one_life()
            except (OSError, msgspec.DecodeError) as error:
                note = f"the ledger's projector: {error}"
            if self._stopping.is_set():
                return
            self._counts.add(Value.LEDGER_FAILURES)
            self._notice(note)
            delay_s = RESTART_S if self._sequence > before else min(2 * delay_s, RESTART_MAX_S)
            self._stopping.wait(delay_s)

    def _one_life(self) -> None:
        with subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
        ) as child:
            self.child_pid = child.pid
            try:
                self._listen(child)
            finally:
                self.child_pid = 0
                child.kill()

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        """Listen until the child is gone, or until it was asked to stop and the limit is over."""
        assert child.stdin is not None
        assert child.stdout is not None
        deadline_ns = 0
        rest = b""
        while not deadline_ns or clock.monotonic_ns() < deadline_ns:
            if self._stopping.is_set() and not deadline_ns:
                deadline_ns = clock.monotonic_ns() + int(self._limit_s * clock.NS_PER_S)
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()
            wanted = [child.stdout.fileno(), *([] if deadline_ns else [self._wake])]
            ready, _, _ = select.select(wanted, [], [], LAG_INTERVAL_S if not deadline_ns else 0.05)
            if child.stdout.fileno() in ready:
                data = os.read(child.stdout.fileno(), 65_536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._hear(msgspec.json.decode(line, type=Status))
            self._counts.set(Value.LEDGER_LAG_RECORDS, max(0, self._newest() - self._sequence))

    def _hear(self, status: Status) -> None:
        self._sequence = max(self._sequence, status.sequence)
        if status.projected:
            self._counts.add(Value.LEDGER_RECORDS, status.projected)
        if status.failures:
            self._counts.add(Value.LEDGER_FAILURES, status.failures)
        if status.note:
            self._notice(status.note)
