"""Taking a seat: what a process does to itself before it opens anything, and what came of it.

Nothing that fails here stops a process: it trades from a worse place, and says so. The one
exception is a demand (``memory.jemalloc = "on"``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from overround._native import lib
from overround.config.schema import Settings
from overround.errors import HostError
from overround.host.allocator import jemalloc_version
from overround.host.cpus import parse_cpus
from overround.host.memory import mappings, pages_by_node
from overround.host.partition import Partition
from overround.host.tree import Tree
from overround.layout.seat import Wait, Wish
from overround.observe.metrics import Value
from overround.shm.meters import Meters
from overround.shm.roster import ProcessRow
from overround.shm.segment import Segment

__all__ = ["SHARED_VARIABLE", "Taken", "honour", "leave_hot", "publish", "take"]

SHARED_VARIABLE: Final = "OVERROUND_SHARED_CPUS"
"""CPUs for helpers of a pinned process, such as ``0-1,4``; set for its children."""
_INSTANCE_VARIABLE: Final = "OVERROUND_PARTITION"
_THROTTLE: Final = "/proc/sys/kernel/sched_rt_runtime_us"


@dataclass(slots=True)
class Taken:
    """What a process got of what was asked for it."""

    pinned: bool = False
    isolated: bool = False
    fifo: bool = False
    jemalloc: str | None = None
    refused: list[str] = field(default_factory=list)
    """What it did not get, and why."""


def take(row: ProcessRow, settings: Settings, shared: str = "") -> Taken:
    """Put this thread (and who it starts later) where its row says; return what came of it.

    ``shared`` lists the CPUs for helpers. Raises HostError if jemalloc is demanded and does not
    serve this process.
    """
    taken = Taken(jemalloc=jemalloc_version())
    if row.wishes & Wish.JEMALLOC and taken.jemalloc is None:
        taken.refused.append("jemalloc: its preload failed")
        if settings.memory.jemalloc == "on":
            raise HostError("memory.jemalloc is 'on' but the preload failed: see the log above")
    if row.cpu >= 0:
        _pin(row, settings, taken)
        os.environ[SHARED_VARIABLE] = shared
    if row.wishes & Wish.FIFO:
        _rise(settings.cpu.fifo_priority, taken)
    return taken


def _pin(row: ProcessRow, settings: Settings, taken: Taken) -> None:
    if row.wishes & Wish.PARTITION:
        try:
            Partition(Tree(), settings.instance).join()
            os.environ[_INSTANCE_VARIABLE] = settings.instance
            taken.isolated = True
        except (OSError, HostError) as error:
            taken.refused.append(f"partition: {error}")
    try:
        os.sched_setaffinity(0, {row.cpu})
        taken.pinned = True
    except OSError as error:
        taken.refused.append(f"CPU {row.cpu}: {error.strerror}")
    kept = parse_cpus(Tree().read("/sys/devices/system/cpu/isolated") or "")
    taken.isolated = taken.pinned and (taken.isolated or row.cpu in kept)
    if row.node >= 0 and lib.ovr_place_prefer(row.node) != 0:
        taken.refused.append(f"memory of node {row.node}")


def _rise(priority: int, taken: Taken) -> None:
    if (Tree().read(_THROTTLE) or "").strip() == "-1":
        taken.refused.append("real-time priority: the kernel's throttle is off")
        return
    try:
        # Not for helpers: they are to stay behind.
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(priority))
        taken.fifo = True
    except OSError as error:
        taken.refused.append(f"real-time priority {priority}: {error.strerror}")


def leave_hot() -> None:
    """Leave the CPU of the process that started this one: for helpers, as their first act."""
    instance = os.environ.pop(_INSTANCE_VARIABLE, "")
    shared = parse_cpus(os.environ.pop(SHARED_VARIABLE, ""))
    try:
        if instance:
            Partition(Tree(), instance).leave()
        if shared:
            os.sched_setaffinity(0, shared)
    except (OSError, HostError):
        return  # it stays where it is: lowest priority, and visible in the CPU's jitter


def honour(settings: Settings, row: ProcessRow) -> Settings:
    """Return the settings with the waiting that was decided for this process."""
    if row.wait is Wait.UNSET:
        return settings
    spins = row.wait is Wait.SPIN
    cpu = settings.cpu.model_copy(
        update={
            "wait": row.wait.name.lower(),
            "spin_us": settings.cpu.spin_us if row.wait is Wait.ADAPTIVE else 0,
        }
    )
    ingress = settings.ingress
    if row.role == "ingress":
        shape = ingress.native_shape
        thread_spins = spins and shape == "spin"
        ingress = ingress.model_copy(
            update={
                "native_shape": "thread" if shape == "spin" and not spins else shape,
                "busy_loop": spins and (ingress.busy_loop or not thread_spins),
            }
        )
    return settings.model_copy(update={"cpu": cpu, "ingress": ingress})


def publish(meters: Meters, segments: Iterable[Segment], row: ProcessRow, taken: Taken) -> None:
    """Set the gauges of this process's place; call once all its regions are open."""
    known = mappings()
    total = locked = huge = remote = 0
    for segment in segments:
        total += segment.size
        mapping = known.get(segment.address)
        if mapping is not None:
            locked += segment.size if mapping.locked else 0
            huge += mapping.huge_bytes
        if row.node >= 0:
            pages = pages_by_node(segment.pointer, segment.size)
            remote += os.sysconf("SC_PAGESIZE") * sum(
                count for node, count in pages.items() if node != row.node
            )
    gauges = {
        Value.PINNED: taken.pinned and os.sched_getaffinity(0) == {row.cpu},
        Value.SPINNING: row.wait is Wait.SPIN,
        Value.REGION_BYTES: total,
        Value.LOCKED_BYTES: locked,
        Value.HUGE_BYTES: huge,
        Value.REMOTE_BYTES: remote,
        Value.JEMALLOC: taken.jemalloc is not None,
        Value.REAL_TIME: taken.fifo,
        Value.ISOLATED: taken.isolated,
        Value.PLACE_REFUSED: len(taken.refused),
    }
    for value, amount in gauges.items():
        meters.set(value, int(amount))
