"""Which cores there are, which of them are kept apart, and which memory is near."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from overround.host.cpus import online, parse_cpus, siblings
from overround.host.tree import Tree

__all__ = ["Core", "Topology", "read_topology"]

_CPU: Final = "/sys/devices/system/cpu"
_NODE: Final = "/sys/devices/system/node"
_DEFAULT_ROUTE: Final = "00000000"


@dataclass(frozen=True, slots=True)
class Core:
    """One physical core: its CPUs (hyper-threads) that may be used, lowest first."""

    cpus: tuple[int, ...]
    node: int
    isolated: bool
    """Whether the boot line keeps other work off all of them."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The cores this process may use, in the order of their CPUs."""

    cores: tuple[Core, ...]
    nodes: int
    """Memory nodes of the machine."""
    card: str
    """Network card that reaches the venue; empty where none is known."""
    card_node: int
    """Its memory node; -1 where the machine does not say."""

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs that may be used."""
        return frozenset(cpu for core in self.cores for cpu in core.cpus)

    def core_of(self, cpu: int) -> Core | None:
        """Return the core of a CPU, None if it may not be used."""
        return next((core for core in self.cores if cpu in core.cpus), None)


def read_topology(tree: Tree, allowed: Collection[int] | None = None, card: str = "") -> Topology:
    """Return the topology of a machine.

    ``allowed`` is the affinity that processes inherit, by default this thread's. Isolated CPUs
    are never in it and may be used nevertheless. ``card`` defaults to the default route's.
    """
    isolated = parse_cpus(tree.read(f"{_CPU}/isolated") or "")
    allowed = os.sched_getaffinity(0) if allowed is None else allowed
    usable = (frozenset(allowed) | isolated) & (online(tree) or frozenset(allowed))
    nodes = {
        cpu: int(path.split("/")[-2].removeprefix("node"))
        for path in tree.glob(f"{_NODE}/node[0-9]*/cpulist")
        for cpu in parse_cpus(tree.read(path) or "")
    }
    cores = {}
    for cpu in sorted(usable):
        mine = siblings(tree, cpu) & usable | {cpu}
        if cpu == min(mine):
            cores[cpu] = Core(tuple(sorted(mine)), nodes.get(cpu, 0), mine <= isolated)
    card = card or _default_card(tree)
    text = tree.read(f"/sys/class/net/{card}/device/numa_node") if card else None
    count = len(tree.glob(f"{_NODE}/node[0-9]*")) or 1
    return Topology(tuple(cores.values()), count, card, int(text) if text else -1)


def _default_card(tree: Tree) -> str:
    for line in (tree.read("/proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 1 and fields[1] == _DEFAULT_ROUTE:
            return fields[0]
    return ""
