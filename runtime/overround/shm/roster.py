"""The roster: how a process finds every region and every other process of its instance.

The supervisor creates all regions and writes all rows; everyone else only reads. Region rows
come first and never change; a process row changes when the process is started again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from overround.errors import InvariantError, LayoutError
from overround.layout.roster import ROSTER, RosterKind
from overround.layout.seat import SeatReason, Wait, WaitReason, Wish
from overround.shm.segment import Segment
from overround.shm.slots import Slots


class ProcessState(IntEnum):
    """Where a process is in its life, as the supervisor sees it."""

    STARTING = 1
    READY = 2
    STOPPING = 3
    STOPPED = 4
    FAILED = 5


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process: ``number`` is its place among the processes and names it as a producer."""

    number: int
    name: str
    role: str
    pid: int
    start_ticks: int
    restarts: int
    cpu: int
    state: ProcessState
    node: int = -1
    wait: Wait = Wait.UNSET
    wait_reason: WaitReason = WaitReason.UNKNOWN
    seat_reason: SeatReason = SeatReason.UNKNOWN
    wishes: Wish = Wish.NONE


@dataclass(frozen=True, slots=True)
class RegionRow:
    """One region: its key (such as ``board-0``) and the name of its segment."""

    key: str
    segment: str
    node: int = -1


ROLES = ("supervisor", "ingress", "detector", "executor", "exchange")
"""Roles by the number that stands in the roster."""


class Roster:
    """The table of regions and processes of one instance."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._slots = Slots(segment, ROSTER)

    @property
    def run_id(self) -> int:
        """Number that tells this run from any other."""
        return self.segment.run_id

    @property
    def mode(self) -> int:
        """Mode number as written into every header."""
        return self.segment.mode

    def add_region(self, key: str, segment_name: str, node: int = -1) -> None:
        """Append a region row; supervisor only, before any process starts."""
        record = np.zeros(1, ROSTER)[0]
        record["kind"] = RosterKind.REGION
        record["name"] = key.encode("ascii")
        record["segment"] = segment_name.encode("ascii")
        record["node"] = node
        self._slots.append(record)

    def add_process(self, name: str, role: str) -> int:
        """Append a process row and return the process's number; supervisor only."""
        number = sum(1 for _ in self.processes())
        record = np.zeros(1, ROSTER)[0]
        record["kind"] = RosterKind.PROCESS
        record["name"] = name.encode("ascii")
        record["role"] = ROLES.index(role)
        record["state"] = ProcessState.STARTING
        record["cpu"] = record["node"] = -1
        self._slots.append(record)
        return number

    def update_process(self, row: ProcessRow) -> None:
        """Rewrite a process row; supervisor only."""
        for index, record in self._records(RosterKind.PROCESS):
            if record["name"].decode("ascii") == row.name:
                record["pid"] = row.pid
                record["start_ticks"] = row.start_ticks
                record["restarts"] = row.restarts
                record["cpu"] = row.cpu
                record["state"] = row.state
                record["node"] = row.node
                record["wait"] = row.wait
                record["wait_reason"] = row.wait_reason
                record["seat_reason"] = row.seat_reason
                record["wishes"] = row.wishes
                self._slots.store(index, record)
                return
        raise InvariantError(f"roster has no process {row.name!r}")

    def regions(self) -> Iterator[RegionRow]:
        """Yield every region in the order of its creation."""
        for _, record in self._records(RosterKind.REGION):
            name, segment = (record[field].decode("ascii") for field in ("name", "segment"))
            yield RegionRow(name, segment, int(record["node"]))

    def processes(self) -> Iterator[ProcessRow]:
        """Yield every process in the order of its number."""
        for number, (_, record) in enumerate(self._records(RosterKind.PROCESS)):
            yield ProcessRow(
                number=number,
                name=record["name"].decode("ascii"),
                role=ROLES[int(record["role"])],
                pid=int(record["pid"]),
                start_ticks=int(record["start_ticks"]),
                restarts=int(record["restarts"]),
                cpu=int(record["cpu"]),
                state=ProcessState(int(record["state"])),
                node=int(record["node"]),
                wait=Wait(int(record["wait"])),
                wait_reason=WaitReason(int(record["wait_reason"])),
                seat_reason=SeatReason(int(record["seat_reason"])),
                wishes=Wish(int(record["wishes"])),
            )

    def segment_name(self, key: str) -> str:
        """Return the segment name of a region. Raises LayoutError if there is none."""
        for row in self.regions():
            if row.key == key:
                return row.segment
        raise LayoutError(f"the roster has no region {key!r}; start the instance again")

    def _records(self, kind: RosterKind) -> Iterator[tuple[int, np.void]]:
        for index in range(self._slots.count):
            record = self._slots.load(index)
            if record is None:
                raise LayoutError(f"roster row {index} is torn: its supervisor died while writing")
            if record["kind"] == kind:
                yield index, record
