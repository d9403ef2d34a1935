"""One thread a producer's ring: it sleeps and rings in native code, and never takes the GIL.

The loop alone reads and advances the ring. The thread only adds to an eventfd that the loop
polls, so a wake-up costs the kernel's two hand-overs and no Python: a Python thread in between
has to be given the GIL first, which costs more than everything else. A loop that never sleeps
looks at the ring itself and needs no thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from overround._native import ffi, lib
from overround.execute.intents import RingIntent, decode_intents
from overround.shm.spsc import SpscConsumer

__all__ = ["RingWatch"]

BATCH: Final = 64


class RingWatch:
    """Watches one ring from ``start`` to ``stop``."""

    def __init__(
        self,
        consumer: SpscConsumer,
        loop: asyncio.AbstractEventLoop,
        on_intents: Callable[[list[RingIntent]], None],
        *,
        spin_ns: int,
        busy: bool = False,
        on_failure: Callable[[BaseException], None] = lambda _: None,
        bind: Callable[[Any], Callable[[int], bool]] | None = None,
    ) -> None:
        """Call ``on_failure`` in the loop if the ring cannot be watched any more.

        ``busy`` looks at the ring in every turn of the loop and never lets the loop sleep: for a
        process with a CPU of its own.

        ``bind`` is given the buffer that batches are read into, and returns what may take the
        record at a place of it: True if that is done with, journaled and all.
        """
        self._consumer = consumer
        self._loop = loop
        self._on_intents = on_intents
        self._on_failure = on_failure
        self._spin_ns = spin_ns
        self._busy = busy
        self._out = np.zeros(BATCH, dtype=consumer.dtype)
        self._take = bind(self._out) if bind is not None else None
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop = ffi.new("uint32_t *")
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="intents", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        if self._busy:
            self._loop.call_soon(self._turn)
            return
        self._loop.add_reader(self._bell, self._rung)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when the thread has ended."""
        self._ended = True
        if self._busy:
            os.close(self._bell)
            return
        self._stop[0] = 1
        lib.ovr_segment_wake_all(self._consumer.segment.pointer)
        self._thread.join()
        self._loop.remove_reader(self._bell)
        os.close(self._bell)

    def _watch(self) -> None:
        base, start = self._consumer.segment.pointer, self._consumer.position
        status = lib.ovr_spsc_ring_bell(base, start, self._bell, self._spin_ns, self._stop)
        if status != 0:
            error = OSError(status, "the bell of an intents ring cannot be rung")
            self._loop.call_soon_threadsafe(self._on_failure, error)

    def _turn(self) -> None:
        """One turn of the busy loop. An exception of ``on_intents`` ends it, and is told there."""
        if not self._ended:
            self.drain()
            self._loop.call_soon(self._turn)

    def _rung(self) -> None:
        os.eventfd_read(self._bell)
        self.drain()

    def drain(self) -> None:
        """Take everything that is in the ring; advance it once that is journaled."""
        try:
            while not self._ended:
                count = self._consumer.poll(self._out)
                if count == 0:
                    return
                self._batch(count)
                self._consumer.advance_to(self._consumer.position)
        except BaseException as error:
            # What failed stays in the ring for the next process; a later batch would advance
            # the ring beyond it, so none is taken any more.
            self._ended = True
            self._on_failure(error)
            raise

    def _batch(self, count: int) -> None:
        """Take the first records of the buffer, in their order."""
        take = self._take
        if take is None:
            self._on_intents(decode_intents(self._out[:count]))
            return
        for at in range(count):
            if not take(at):
                self._on_intents(decode_intents(self._out[at : at + 1]))
