"""Who sits where, and how each waits: chosen from the topology, with the reason.

A process gets a core of its own, all of one memory node, its hyper-threads left idle; the first
core stays with everybody else. Waiting follows from that: nobody spins for ever on a machine of
fewer than four cores, and no more of them spin than there are cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from overround.errors import HostError
from overround.host.cpus import CORES_MIN, format_cpus
from overround.host.topology import Core, Topology
from overround.layout.seat import SeatReason, Wait, WaitReason

__all__ = ["SEAT_REASONS", "WAIT_REASONS", "Layout", "Seat", "arrange"]

SEAT_REASONS: Final = {
    SeatReason.UNKNOWN: "not placed",
    SeatReason.ASKED: "named in cpu.cpus",
    SeatReason.OFF: "cpu.pin is off",
    SeatReason.FEW_CORES: "fewer than four cores: pinned processes would wait for each other",
    SeatReason.ISOLATED: "a core that the boot line keeps apart",
    SeatReason.CARD_NODE: "a core of its own, on the memory node of the network card",
    SeatReason.OWN_CORE: "a core of its own",
    SeatReason.NO_CORE_LEFT: "no core left for it",
}
WAIT_REASONS: Final = {
    WaitReason.UNKNOWN: "not placed",
    WaitReason.ASKED: "as cpu.wait says",
    WaitReason.ONE_CORE: "one core: whoever spins keeps the others from running",
    WaitReason.FEW_CORES: "fewer than four cores: spins a moment, then sleeps",
    WaitReason.CORES_TAKEN: "as many others spin as there are cores",
    WaitReason.ISOLATED: "its CPU is kept apart: nothing else wants it",
    WaitReason.NOT_ISOLATED: "its CPU is not kept apart: spins a moment, then sleeps",
    WaitReason.LOOP: "its event loop sleeps in the kernel until a frame comes",
    WaitReason.SHARED_CPU: "its loop and the watcher of its ring share one CPU",
}

_SPIN_FIRST: Final = ("detector", "executor", "ingress")
"""Who gains most from spinning comes first."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One process: its CPU (-1: any), the memory node near it (-1: no matter), how it waits."""

    name: str
    role: str
    cpu: int = -1
    node: int = -1
    isolated: bool = False
    seat_reason: SeatReason = SeatReason.UNKNOWN
    wait: Wait = Wait.UNSET
    wait_reason: WaitReason = WaitReason.UNKNOWN


@dataclass(frozen=True, slots=True)
class Layout:
    """The seats of an instance, by process, and the CPUs left to everybody else."""

    seats: dict[str, Seat]
    shared: frozenset[int]
    """Empty where nobody is pinned: no process has to keep off anything."""
    ring: frozenset[int] = frozenset()
    """CPUs of the thread that drives the ingress's ring; empty where it has none of its own."""

    @property
    def hot(self) -> frozenset[int]:
        """CPUs that belong to one process each, the ring's thread included."""
        return self.ring | {seat.cpu for seat in self.seats.values() if seat.cpu >= 0}


def arrange(
    topology: Topology,
    processes: Sequence[tuple[str, str]],
    *,
    pin: bool = True,
    cpus: Sequence[int] = (),
    wait: str = "auto",
    spin: frozenset[str] = frozenset(),
    isolated: frozenset[int] = frozenset(),
    ring: frozenset[int] = frozenset(),
) -> Layout:
    """Return where the processes (name, role) sit and how they wait.

    ``cpus`` in their order overrules the choice and may repeat itself; ``spin`` names processes
    whose own settings ask to spin; ``isolated`` are CPUs kept apart by other means than the boot
    line; the cores of ``ring`` go to nobody else. Raises HostError if a named CPU may not be used,
    or is named for the ring and another process.
    """
    for cpu in sorted(ring):
        _allowed(topology, cpu, "cpu.native_cpus")
    if cpus:
        seats = _named(topology, processes, cpus)
    elif not pin or len(topology.cores) < CORES_MIN:
        reason = SeatReason.FEW_CORES if pin else SeatReason.OFF
        seats = [Seat(name, role, seat_reason=reason) for name, role in processes]
    else:
        free = tuple(core for core in topology.cores if ring.isdisjoint(core.cpus))
        seats = _chosen(replace(topology, cores=free), processes)
    for seat in seats:
        if seat.cpu in ring and seat.role != "ingress":
            raise HostError(f"CPU {seat.cpu} is {seat.name}'s by cpu.cpus: not for cpu.native_cpus")
    seats = [
        replace(
            seat,
            isolated=seat.isolated or seat.cpu in isolated,
            node=seat.node if topology.nodes > 1 else -1,
        )
        for seat in seats
    ]
    seats = _waits(seats, len(topology.cores), wait, spin)
    pinned = {seat.cpu for seat in seats if seat.cpu >= 0}
    idle = [core for core in topology.cores if (pinned | ring).isdisjoint(core.cpus)]
    shared = {cpu for core in idle if not core.isolated for cpu in core.cpus} if pinned else ()
    return Layout({seat.name: seat for seat in seats}, frozenset(shared), ring)


def _allowed(topology: Topology, cpu: int, setting: str) -> Core:
    core = topology.core_of(cpu)
    if core is None:
        raise HostError(
            f"{setting} names CPU {cpu}, which this process may not use; "
            f"allowed: {format_cpus(topology.cpus)}"
        )
    return core


def _named(
    topology: Topology, processes: Sequence[tuple[str, str]], cpus: Sequence[int]
) -> list[Seat]:
    seats = []
    for at, (name, role) in enumerate(processes):
        cpu = cpus[at % len(cpus)]
        core = _allowed(topology, cpu, "cpu.cpus")
        alone = cpus.count(cpu) == 1 and len(cpus) >= len(processes)
        kept = core.isolated and alone
        seats.append(Seat(name, role, cpu, core.node, kept, SeatReason.ASKED))
    return seats


def _chosen(topology: Topology, processes: Sequence[tuple[str, str]]) -> list[Seat]:
    cores = _spare_cores(topology, len(processes))
    seats = []
    for at, (name, role) in enumerate(processes):
        if at >= len(cores):
            seats.append(Seat(name, role, seat_reason=SeatReason.NO_CORE_LEFT))
            continue
        core = cores[at]
        reason = SeatReason.OWN_CORE
        if core.isolated:
            reason = SeatReason.ISOLATED
        elif core.node == topology.card_node and topology.nodes > 1:
            reason = SeatReason.CARD_NODE
        seats.append(Seat(name, role, core.cpus[0], core.node, core.isolated, reason))
    return seats


def _spare_cores(topology: Topology, wanted: int) -> list[Core]:
    """Return the cores to hand out, best first; never the first core.

    Being disturbed costs microseconds, another node's memory a tenth of one: where enough cores
    are kept apart only those count. Then one node, the card's if it has room.
    """
    first = next((core for core in topology.cores if not core.isolated), None)
    kept = [core for core in topology.cores if core.isolated]
    spare = kept if len(kept) >= wanted else [c for c in topology.cores if c is not first]
    by_node = {core.node: [one for one in spare if one.node == core.node] for core in spare}

    def worth(node: int) -> tuple[bool, bool, int, int]:
        cores = by_node[node]
        isolated = sum(core.isolated for core in cores)
        return len(cores) >= wanted, node == topology.card_node, isolated, -node

    return [
        core
        for node in sorted(by_node, key=worth, reverse=True)
        for core in sorted(by_node[node], key=lambda core: (not core.isolated, core.cpus))
    ]


def _waits(seats: list[Seat], cores: int, asked: str, spin: frozenset[str]) -> list[Seat]:
    # Two cores: two may spin. From four on, one core stays with those who do not.
    left = cores if cores < CORES_MIN else cores - 1
    found: dict[str, Seat] = {}
    for seat in sorted(seats, key=lambda seat: _SPIN_FIRST.index(seat.role)):
        how, why = _wait(seat, cores, left, "spin" if seat.name in spin else asked)
        left -= how is not Wait.SLEEP
        found[seat.name] = replace(seat, wait=how, wait_reason=why)
    return [found[seat.name] for seat in seats]


def _wait(seat: Seat, cores: int, left: int, asked: str) -> tuple[Wait, WaitReason]:
    if asked == "sleep":
        return Wait.SLEEP, WaitReason.ASKED
    if cores < 2:
        return Wait.SLEEP, WaitReason.ONE_CORE
    if cores >= CORES_MIN and (asked == "spin" or (asked == "auto" and seat.isolated)):
        why = WaitReason.ASKED if asked == "spin" else WaitReason.ISOLATED
        return (Wait.SPIN, why) if left > 0 else (Wait.SLEEP, WaitReason.CORES_TAKEN)
    if seat.role == "ingress":
        return Wait.SLEEP, WaitReason.LOOP
    if seat.role == "executor" and seat.cpu >= 0:
        return Wait.SLEEP, WaitReason.SHARED_CPU
    if left <= 0:
        return Wait.SLEEP, WaitReason.CORES_TAKEN
    if cores < CORES_MIN:
        return Wait.ADAPTIVE, WaitReason.FEW_CORES
    return Wait.ADAPTIVE, WaitReason.ASKED if asked == "adaptive" else WaitReason.NOT_ISOLATED
