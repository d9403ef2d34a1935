"""One thread a producer's ring: sleeps in native code, wakes the event loop, touches nothing.

The loop alone reads and advances the ring; the thread only says "there is something", then waits
until the loop has dealt with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from overround.execute.intents import RingIntent, decode_intents
from overround.shm.spsc import SpscConsumer

__all__ = ["RingWatch"]

BATCH: Final = 64
WAIT_NS: Final = 50_000_000
"""A sleeping thread looks at the stop flag this often."""


class RingWatch:
    """Watches one ring from ``start`` to ``stop``."""

    def __init__(
        self,
        consumer: SpscConsumer,
        loop: asyncio.AbstractEventLoop,
        on_intents: Callable[[list[RingIntent]], None],
        *,
        spin_ns: int,
    ) -> None:
        self._consumer = consumer
        self._loop = loop
        self._on_intents = on_intents
        self._spin_ns = spin_ns
        self._out = np.zeros(BATCH, dtype=consumer.dtype)
        self._stopping = threading.Event()
        self._handled = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="intents", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when the thread has ended."""
        self._stopping.set()
        self._handled.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            if self._consumer.wait(WAIT_NS, self._spin_ns):
                self._handled.clear()
                # ``stop`` sets the flag first and the event second: whoever comes late sees one.
                if self._stopping.is_set():
                    return
                self._loop.call_soon_threadsafe(self.drain)
                self._handled.wait()

    def drain(self) -> None:
        """Take everything that is in the ring; advance it once that is journaled."""
        try:
            while not self._stopping.is_set():
                count = self._consumer.poll(self._out)
                if count == 0:
                    return
                self._on_intents(decode_intents(self._out[:count]))
                self._consumer.advance_to(self._consumer.position)
        except BaseException:
            # What failed stays in the ring for the next process; a later batch would advance
            # the ring beyond it, so none is taken any more.
            self._stopping.set()
            raise
        finally:
            self._handled.set()
