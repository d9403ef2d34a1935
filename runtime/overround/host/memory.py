"""Where the pages of a mapping are, whether they stay, and how big they are.

Asks the kernel, not our own wishes: what was asked for and what was got are shown side by side.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overround._native import ffi, lib

__all__ = ["Mapping", "bind", "mappings", "pages_by_node", "resident_bytes"]

_KIB = 1024
_HUGE_KEYS = ("ShmemPmdMapped", "FilePmdMapped", "AnonHugePages", "Shared_Hugetlb")


def bind(pointer: Any, size: int, node: int) -> str:
    """Want a mapping's pages on ``node``, now and later; return "" or why it cannot be."""
    status = lib.ovr_place_bind(pointer, size, node)
    return "" if status == 0 else os.strerror(-status)


def pages_by_node(pointer: Any, size: int) -> dict[int, int]:
    """Return how many pages of a mapping lie on each node; empty where the kernel is silent."""
    counts = ffi.new("uint64_t[]", lib.OVR_NODES_MAX)
    if lib.ovr_place_count(pointer, size, counts) < 0:
        return {}
    return {node: int(counts[node]) for node in range(lib.OVR_NODES_MAX) if counts[node]}


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping of this process, as the kernel has it."""

    locked: bool
    huge_bytes: int


def mappings(text: str | None = None) -> dict[int, Mapping]:
    """Return the mappings of this process by their first address; ``text`` is smaps."""
    text = Path("/proc/self/smaps").read_text() if text is None else text
    found: dict[int, Mapping] = {}
    start = huge = 0
    for line in text.splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            start, huge = int(first.partition("-")[0], 16), 0
        elif first[:-1] in _HUGE_KEYS:
            huge += int(rest.split()[0]) * _KIB
        elif first == "VmFlags:":
            found[start] = Mapping("lo" in rest.split(), huge)
    return found


def resident_bytes() -> int:
    """Return how much memory this process has in RAM, shared regions included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
