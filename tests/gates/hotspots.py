"""Which lines allocate, a message of a case of blocks.py: memray's own records, counted by line.

python hotspots.py CASE LINES     (scripts/profile allocations does it)
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import blocks
import memray

RUNS = 200
FREES = {
    memray.AllocatorType.FREE,
    memray.AllocatorType.MUNMAP,
    memray.AllocatorType.PYMALLOC_FREE,
}
PYTHON = {
    memray.AllocatorType.PYMALLOC_MALLOC,
    memray.AllocatorType.PYMALLOC_CALLOC,
    memray.AllocatorType.PYMALLOC_REALLOC,
}


def traced(once: Callable[[], object]) -> Counter[tuple[bool, str]]:
    """Return how many allocations each line made in all runs, the heap's and Python's apart."""
    for _ in range(blocks.WARM):
        once()
    gc.collect()
    gc.disable()
    counts: Counter[tuple[bool, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memray.bin"
        with memray.Tracker(file, trace_python_allocators=True):
            for _ in range(RUNS):
                once()
        with memray.FileReader(file) as reader:
            for record in reader.get_allocation_records():
                kind = memray.AllocatorType(record.allocator)
                if kind in FREES:
                    continue
                stack = record.stack_trace(max_stacks=1)
                function, path, line = stack[0] if stack else ("?", "?", 0)
                counts[kind in PYTHON, f"{function} {Path(path).name}:{line}"] += 1
    gc.enable()
    return counts


def main() -> None:
    """Print the lines that allocate most."""
    name, lines = sys.argv[1], int(sys.argv[2])
    counts = blocks.CASES[name](traced)
    out = []
    for python, title in ((False, "heap"), (True, "python")):
        found = {where: n for (kind, where), n in counts.items() if kind is python}
        out.append(f"{title}: {sum(found.values()) / RUNS:.1f} a message of {name}")
        for where, n in Counter(found).most_common(lines):
            if n * 20 >= RUNS:
                out.append(f"{n / RUNS:8.2f}  {where}")
    os.write(sys.stdout.fileno(), ("\n".join(out) + "\n").encode())


if __name__ == "__main__":
    main()
