"""Prints what a bench of this folder measured, every single figure, as JSON: for bench/rows.

Run: .venv/bin/python bench/path/series.py order ORDERS | transport ROUNDS
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run it."""
    what, count = sys.argv[1], int(sys.argv[2])
    if what == "order":
        import bench_order

        with tempfile.TemporaryDirectory() as folder:
            taken, hits = bench_order.measure(count, Path(folder))
        json.dump({"taken": taken, "hits": hits}, sys.stdout)
    else:
        import bench_transport

        json.dump(bench_transport.rounds_of(count), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
