"""Allocations a message of the hot path, those that are freed at once included; printed as JSON.

    LD_PRELOAD=allocations.so python allocations.py     (scripts/gates does it)

``heap`` are calls of malloc and its kin by anybody in the process, ``python`` the blocks that
Python's small-object allocator hands out, mostly integers and tuples on their way through a call.
The messages are those of blocks.py. Without the preloaded library this is an error.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import blocks

RUNS = 1_000


def load() -> ctypes.CDLL:
    """Return the library that counts; raises AttributeError if it is not preloaded."""
    library = ctypes.CDLL(None)
    for name in ("allocations_heap", "allocations_python"):
        getattr(library, name).restype = ctypes.c_uint64
    library.allocations_watch()
    return library


def counted(library: ctypes.CDLL, once: Callable[[], object]) -> dict[str, int]:
    """Return what a run allocates, to the nearest whole allocation."""
    for _ in range(blocks.WARM):
        once()
    gc.collect()
    gc.disable()
    heap, python = library.allocations_heap(), library.allocations_python()
    for _ in range(RUNS):
        once()
    python, heap = library.allocations_python() - python, library.allocations_heap() - heap
    gc.enable()
    return {"heap": round(heap / RUNS), "python": round(python / RUNS)}


def main() -> None:
    """Count every case."""
    library = load()
    found = {}
    for name, case in blocks.CASES.items():
        for kind, value in case(lambda once: counted(library, once)).items():
            found[f"{kind} {name}"] = value
    os.write(sys.stdout.fileno(), json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    main()
