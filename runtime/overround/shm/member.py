"""A process's membership in a running instance.

Every child joins the same way: it finds the roster, takes the lease of its own meters row,
learns when to stop, and opens the regions it owns or reads. Stopping has two causes that a
loop need not tell apart, SIGTERM or SIGINT and the supervisor's death, but the executor and
the owners of regions must: ``supervisor_dead`` says so.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from overround.errors import HostError
from overround.layout.region import RegionKind
from overround.shm.meters import Meters
from overround.shm.process import die_with_parent, is_alive
from overround.shm.roster import Roster
from overround.shm.segment import Segment

READY = 1
"""Value of a meters header's state once its process serves."""

_KINDS = {
    "board": RegionKind.BOARD,
    "catalog": RegionKind.CATALOG,
    "changes": RegionKind.CHANGES,
    "trades": RegionKind.TRADES,
    "intents": RegionKind.INTENTS,
    "targets": RegionKind.TARGETS,
    "reports": RegionKind.REPORTS,
    "account": RegionKind.ACCOUNT,
    "meters": RegionKind.METERS,
    "kill": RegionKind.KILL,
}


def region_kind(key: str) -> RegionKind:
    """Return the kind of a region from its key: ``board-0`` is a board."""
    return _KINDS[key.partition("-")[0]]


class Member:
    """This process's place in a running instance; made by ``join``."""

    def __init__(self, roster: Roster, name: str, run_dir: Path) -> None:
        row = next((row for row in roster.processes() if row.name == name), None)
        if row is None:
            raise HostError(f"the roster has no process {name!r}: start it by the supervisor")
        self.roster = roster
        self.name = name
        self.role = row.role
        self.number = row.number
        self.run_dir = run_dir
        self.row = row
        self.on_ready: Callable[[], None] = lambda: None
        """Called once this process serves, with all its regions open."""
        self._segments: list[Segment] = []
        self._owned: list[Segment] = []
        self.stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = threading.Event()
        supervisor = next(row for row in roster.processes() if row.role == "supervisor")
        self._supervisor = (supervisor.pid, supervisor.start_ticks)
        meters = self.own(f"meters-{name}")
        meters.take_over()
        self.meters = Meters(meters)

    @classmethod
    def join(cls, roster_name: str, process_name: str, run_dir: Path) -> Member:
        """Join the instance whose roster has this segment name; installs signal handlers.

        Raises HostError if the supervisor is gone or another process holds the same place.
        """
        segment = Segment.attach(roster_name, RegionKind.ROSTER)
        member = cls(Roster(segment), process_name, run_dir)
        member._segments.append(segment)
        die_with_parent(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, member._on_signal)
        if member.supervisor_dead:  # it died before we could ask to be told
            member.stop()
        return member

    @property
    def run_id(self) -> int:
        """Number that tells this run from any other."""
        return self.roster.run_id

    @property
    def mode(self) -> int:
        """Mode number of the instance."""
        return self.roster.mode

    @property
    def supervisor_dead(self) -> bool:
        """Whether the supervisor is gone: cancel, unlink what is ours, and leave."""
        pid, started = self._supervisor
        return not is_alive(pid, started)

    def should_stop(self) -> bool:
        """Whether this process was asked to stop or has lost its supervisor."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask this process's own loops to stop."""
        self._stopping.set()
        os.eventfd_write(self.stop_fd, 1)

    def beat(self, now_ns: int) -> None:
        """Say that this process is alive."""
        self.meters.segment.beat(now_ns)

    def ready(self) -> None:
        """Say that this process serves: the supervisor waits for it."""
        self.on_ready()
        self.meters.segment.set_state(READY)

    @property
    def segments(self) -> Sequence[Segment]:
        """Every region this process has open."""
        return self._segments

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all regions that begin with ``prefix``."""
        return [row.key for row in self.roster.regions() if row.key.startswith(prefix)]

    def open(self, key: str) -> Segment:
        """Attach a region for reading (the kill latch and ring cursors are writable)."""
        segment = Segment.attach(self.roster.segment_name(key), region_kind(key))
        self._segments.append(segment)
        return segment

    def own(self, key: str) -> Segment:
        """Attach a region and take its lease; the caller then calls ``take_over``.

        Raises HostError if another process holds the lease.
        """
        segment = self.open(key)
        segment.take_lease()
        self._owned.append(segment)
        return segment

    def close(self) -> None:
        """Leave: unlink our regions if nobody else is left to do it, then detach."""
        if self.supervisor_dead:
            for segment in self._owned:
                segment.unlink()
        for segment in self._segments:
            segment.close()
        os.close(self.stop_fd)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()
