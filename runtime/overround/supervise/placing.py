"""The machine's part of an instance: seats of its processes, its partition, its own place.

Decided before any region exists, because regions lie near their writers; undone at the end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import structlog

from overround.config.schema import Settings
from overround.errors import HostError
from overround.host.allocator import find_jemalloc
from overround.host.cpus import format_cpus
from overround.host.partition import Partition, left_over
from overround.host.place import SEAT_REASONS, WAIT_REASONS, Layout, arrange
from overround.host.topology import Topology, read_topology
from overround.host.tree import Tree
from overround.layout.seat import Wait, Wish
from overround.shm.names import list_runs
from overround.shm.roster import ProcessRow
from overround.supervise.instance import PLAN, ProcessPlan
from overround.supervise.process import wants_jemalloc

__all__ = ["Placing", "seats_of"]


def seats_of(
    settings: Settings,
    topology: Topology,
    plan: Sequence[ProcessPlan] = PLAN,
    isolated: frozenset[int] = frozenset(),
) -> Layout:
    """Return where an instance with these settings sits on a machine, and how it waits.

    ``isolated`` are CPUs kept apart by other means than the boot line. Raises HostError if a CPU
    is named that may not be used.
    """
    cpu, ingress = settings.cpu, settings.ingress
    own_thread = ingress.native != "off" and ingress.native_shape != "loop"
    busy = ingress.busy_loop or (own_thread and ingress.native_shape == "spin")
    processes = [(process.name, process.role) for process in plan]
    return arrange(
        topology,
        processes,
        pin=cpu.pin == "auto",
        cpus=cpu.cpus,
        wait=cpu.wait,
        spin=frozenset(name for name, role in processes if busy and role == "ingress"),
        isolated=isolated,
        ring=frozenset(cpu.native_cpus if own_thread else ()),
    )


class Placing:
    """Where one instance runs; ``end`` gives everything back."""

    def __init__(self, settings: Settings, plan: Sequence[ProcessPlan]) -> None:
        """Choose seats, and make the partition if one is wanted and can be had.

        Raises HostError if a CPU is named that may not be used.
        """
        self._log = structlog.get_logger()
        self._settings = settings
        self._tree = Tree()
        self._partition: Partition | None = None
        self._before: frozenset[int] = frozenset()
        for stale in left_over(self._tree, {run.instance for run in list_runs() if run.alive}):
            self._log.warning("removing a dead instance's partition", group=stale.group)
            stale.remove()
        self._topology = read_topology(self._tree, card=settings.cpu.interface)
        self._plan = plan
        self.layout = self._arrange(frozenset())
        if settings.cpu.partition and self._isolate():
            self.layout = self._arrange(self.layout.hot)
        if settings.cpu.wait == "spin":
            for seat in self.layout.seats.values():
                if seat.wait is not Wait.SPIN:
                    why = WAIT_REASONS[seat.wait_reason]
                    self._log.warning("does not spin for ever", process=seat.name, why=why)

    def _arrange(self, isolated: frozenset[int]) -> Layout:
        return seats_of(self._settings, self._topology, self._plan, isolated)

    def _isolate(self) -> bool:
        hot = self.layout.hot
        if all(seat.cpu < 0 for seat in self.layout.seats.values()):
            why = SEAT_REASONS[next(iter(self.layout.seats.values())).seat_reason]
            self._log.warning("no partition: nobody has a CPU of its own", why=why)
            return False
        if all(seat.isolated for seat in self.layout.seats.values() if seat.cpu >= 0):
            return False  # the boot line does it already, and better: the tick stays away, too
        try:
            partition = Partition(self._tree, self._settings.instance)
            partition.create(hot)
        except HostError as error:
            self._log.warning("no partition to be had", cpus=format_cpus(hot), why=str(error))
            return False
        self._partition = partition
        return True

    @property
    def nodes(self) -> dict[str, int]:
        """The memory node near each process; -1 where it does not matter."""
        return {name: seat.node for name, seat in self.layout.seats.items()}

    @property
    def shared(self) -> str:
        """CPUs for whoever has no seat, as a list; empty where nobody has to keep off any."""
        return format_cpus(self.layout.shared)

    def seat(self, row: ProcessRow) -> ProcessRow:
        """Return a process's row with its seat in it."""
        seat = self.layout.seats.get(row.name)
        if seat is None:
            return row
        wishes = Wish.NONE
        if self._partition is not None and seat.cpu >= 0:
            wishes |= Wish.PARTITION
        calm = seat.role == "executor" and seat.wait is not Wait.SPIN
        if self._settings.cpu.fifo_priority and calm:
            wishes |= Wish.FIFO
        if wants_jemalloc(seat.role, self._settings.memory) and find_jemalloc():
            wishes |= Wish.JEMALLOC
        return replace(
            row, cpu=seat.cpu, node=seat.node, wait=seat.wait, wait_reason=seat.wait_reason,
            seat_reason=seat.seat_reason, wishes=wishes,
        )  # fmt: skip

    def keep_off(self, pids: Iterable[int]) -> None:
        """Keep this thread and some other processes off the CPUs that have an owner."""
        if self.layout.shared and not self._before:
            self._before = frozenset(os.sched_getaffinity(0))
            for pid in (0, *pids):
                with contextlib.suppress(OSError):  # it has gone, or may not be moved
                    os.sched_setaffinity(pid, self.layout.shared)

    def end(self) -> None:
        """Give the partition and this thread's CPUs back; may be called again."""
        if self._partition is not None and not self._partition.remove():
            self._log.warning("a partition stays behind", group=self._partition.group)
        self._partition = None
        if self._before:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._before)
            self._before = frozenset()
