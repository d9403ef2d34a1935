"""Place by place: what was asked of the machine for a process or region, and what it gave."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from overround.host.cpus import format_cpus
from overround.host.memory import mappings, pages_by_node
from overround.host.place import SEAT_REASONS, WAIT_REASONS
from overround.layout.seat import Wait, Wish
from overround.observe.metrics import Value
from overround.shm.member import region_kind
from overround.shm.meters import MetersView
from overround.shm.roster import ProcessRow, RegionRow
from overround.shm.segment import Segment

__all__ = ["placement", "region_placement"]


def placement(
    rows: Iterable[ProcessRow], views: Mapping[str, MetersView]
) -> dict[str, dict[str, Any]]:
    """Return asked and got of each process that was given a seat, by its name."""
    return {row.name: _placed(row, views[row.name]) for row in rows if row.wait is not Wait.UNSET}


def _placed(row: ProcessRow, view: MetersView) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "cpu": row.cpu if row.cpu >= 0 else None,
        "node": row.node if row.node >= 0 else None,
        "partition": Wish.PARTITION in row.wishes,
        "real_time": Wish.FIFO in row.wishes,
        "jemalloc": Wish.JEMALLOC in row.wishes,
    }
    try:
        # Asked now, of the kernel: somebody may have moved it since.
        allowed = format_cpus(os.sched_getaffinity(row.pid)) if row.pid else ""
    except OSError:
        allowed = ""
    got: dict[str, Any] = {
        "cpus": allowed or None,
        "pinned": bool(view.value(Value.PINNED)),
        "isolated": bool(view.value(Value.ISOLATED)),
        "real_time": bool(view.value(Value.REAL_TIME)),
        "jemalloc": bool(view.value(Value.JEMALLOC)),
        "region_bytes": view.value(Value.REGION_BYTES),
        "locked_bytes": view.value(Value.LOCKED_BYTES),
        "huge_bytes": view.value(Value.HUGE_BYTES),
        "remote_bytes": view.value(Value.REMOTE_BYTES),
        "resident_bytes": view.value(Value.RESIDENT_BYTES),
        "refused": view.value(Value.PLACE_REFUSED),
    }
    return {
        "wait": row.wait.name.lower(),
        "wait_reason": WAIT_REASONS[row.wait_reason],
        "cpu_reason": SEAT_REASONS[row.seat_reason],
        "asked": asked,
        "got": got,
    }


def region_placement(rows: Iterable[RegionRow]) -> dict[str, dict[str, Any]]:
    """Return size, node asked for and pages by node of each region, by its key.

    Attaches each for a moment; ``huge_bytes`` is what this process could map by huge pages.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        with Segment.attach(row.segment, region_kind(row.key)) as segment:
            mapping = mappings().get(segment.address)
            found[row.key] = {
                "bytes": segment.size,
                "node_asked": row.node if row.node >= 0 else None,
                "pages_by_node": {
                    str(node): pages
                    for node, pages in pages_by_node(segment.pointer, segment.size).items()
                },
                "huge_bytes": mapping.huge_bytes if mapping else 0,
            }
    return found
