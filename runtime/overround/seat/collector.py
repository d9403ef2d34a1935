"""Garbage collection by hand: what exists at the start is never looked at again, and what dies
young is collected in quiet moments, so that the interpreter never stops by itself in the middle
of a message. Next to a million live objects its own collections take 100 ms and more."""

from __future__ import annotations

import gc
from typing import Final

from overround.clock import NS_PER_S, monotonic_ns
from overround.host.memory import resident_bytes
from overround.observe.metrics import Histogram, Value
from overround.shm.meters import Meters

__all__ = ["Collector"]

INTERVAL_NS: Final = 900_000_000
"""A little below the second in which it is usually called."""
BUSY_NS: Final = 10 * NS_PER_S
"""A process that is never quiet collects this late all the same."""
_YOUNG: Final = 1
_ALL: Final = 2
_MIB: Final = 2**20


class Collector:
    """The collector of one process; not shared between threads."""

    def __init__(self, meters: Meters, growth_max_mib: int) -> None:
        """``growth_max_mib``: growth since the last settling at which everything is collected."""
        self._meters = meters
        self._growth_max_bytes = growth_max_mib * _MIB
        self._settled_bytes = 0
        self._due_ns = 0

    def settle(self) -> None:
        """Call when the state is built: keep all of it, and end automatic collections."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._due_ns = monotonic_ns()
        self._settled_bytes = resident_bytes()

    def quiet(self, *, thorough: bool = False, busy: bool = False) -> bool:
        """Call in a quiet moment, as often as is convenient; collect if it is time to.

        ``thorough`` collects everything, now: right where nothing can be traded anyway, such as
        after a reconnect. ``busy`` says that the moment is not quiet: then only what is long
        overdue is done. Returns whether anything was collected.
        """
        now_ns = monotonic_ns()
        if now_ns < self._due_ns + (BUSY_NS if busy else 0) and not thorough:
            return False
        self._due_ns = now_ns + INTERVAL_NS
        resident = resident_bytes()
        self._meters.set(Value.RESIDENT_BYTES, resident)
        emergency = resident - self._settled_bytes > self._growth_max_bytes
        if emergency:
            self._meters.add(Value.GC_EMERGENCIES)
        found = gc.collect(_ALL if thorough or emergency else _YOUNG)
        if emergency:
            self._settled_bytes = resident_bytes()
        self._meters.record(Histogram.GC_PAUSE, monotonic_ns() - now_ns)
        self._meters.add(Value.GC_COLLECTIONS)
        self._meters.add(Value.GC_FOUND, found)
        return True

    def end(self) -> None:
        """Let the interpreter collect by itself again; call when trading is over."""
        gc.enable()
