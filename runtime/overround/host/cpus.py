"""CPU numbers as the kernel writes them, and which CPUs a machine can spare.

Lists are ``0-3,8``; masks are hexadecimal in groups of 32 bits, highest first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count
from typing import Final

from overround.host.tree import Tree

__all__ = ["format_cpus", "format_mask", "online", "parse_cpus", "parse_mask", "siblings", "spare"]

CORES_MIN: Final = 4
"""Below this many cores none can be kept for hot processes alone."""
_CPU: Final = "/sys/devices/system/cpu"


def parse_cpus(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as ``0-3,8``; ValueError if it is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def format_cpus(cpus: Iterable[int]) -> str:
    """Return CPUs as a list, runs joined: ``0-3,8``."""
    parts: list[str] = []
    ordered = sorted(set(cpus))
    while ordered:
        first = ordered[0]
        last = next(cpu for cpu in count(first) if cpu + 1 not in ordered)
        parts.append(str(first) if first == last else f"{first}-{last}")
        ordered = [cpu for cpu in ordered if cpu > last]
    return ",".join(parts)


def parse_mask(text: str) -> frozenset[int]:
    """Return the CPUs of a mask such as ``ff,00000001``; ValueError if it is none."""
    bits = int(text.strip().replace(",", "") or "0", 16)
    return frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def format_mask(cpus: Iterable[int]) -> str:
    """Return CPUs as a mask, in groups of 32 bits."""
    bits = sum(1 << cpu for cpu in set(cpus))
    groups = [f"{bits & 0xFFFFFFFF:08x}"]
    while bits := bits >> 32:
        groups.append(f"{bits & 0xFFFFFFFF:08x}")
    return ",".join(reversed(groups)).lstrip("0,") or "0"


def online(tree: Tree) -> frozenset[int]:
    """Return the CPUs that are online; empty where the kernel does not say."""
    return parse_cpus(tree.read(f"{_CPU}/online") or "")


def siblings(tree: Tree, cpu: int) -> frozenset[int]:
    """Return the CPUs that share a core with ``cpu``, itself included."""
    text = tree.read(f"{_CPU}/cpu{cpu}/topology/thread_siblings_list")
    return parse_cpus(text) if text else frozenset({cpu})


def spare(tree: Tree) -> Collection[int]:
    """Return the CPUs that can be kept for hot processes: all but the first core's.

    None on a machine of fewer than four cores: whoever waits there must sleep, not spin.
    """
    cpus = online(tree)
    cores = {min(siblings(tree, cpu)) for cpu in cpus}
    if len(cores) < CORES_MIN:
        return frozenset()
    return cpus - siblings(tree, min(cpus))
