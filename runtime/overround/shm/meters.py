"""Counters, gauges and histograms of one process in shared memory; see ``meters.h``.

Metrics are named by number here (``observe.metrics`` is a sibling, not below): both ``Value`` and
``Histogram`` are IntEnums and fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overround._native import ffi, lib
from overround.layout.meters import HISTOGRAM_BUCKETS, HISTOGRAMS, METERS, VALUES
from overround.shm.segment import Segment

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class HistogramView:
    """A copy of one histogram; ``sum``, ``max``, ``min`` are exact, percentiles within 12.5 %."""

    count: int
    sum: int
    max: int
    min: int
    buckets: NDArray[np.uint64]

    @property
    def mean(self) -> float:
        """Arithmetic mean, 0 when empty."""
        return self.sum / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """Return the value below or at which ``percent`` of the samples lie; 0 when empty.

        The answer is the upper end of its bucket, so it errs high, never beyond ``max``.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent {percent} is not in 0..100")
        total = int(self.buckets.sum())
        if total == 0:
            return 0
        wanted = max(1, -(-total * percent // 100))
        bucket = int(np.searchsorted(np.cumsum(self.buckets), wanted))
        if bucket + 1 >= HISTOGRAM_BUCKETS:
            return self.max
        return min(self.max, int(lib.ovr_histogram_floor(bucket + 1)) - 1)


class MetersView:
    """The reading end, for screens and exporters."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._base = segment.pointer
        # A view, not a copy: words are atomic, and a reader of meters wants the latest.
        start = lib.OVR_HEADER_BYTES
        block: Any = np.frombuffer(
            ffi.buffer(segment.pointer, start + METERS.itemsize), METERS, 1, start
        )[0]
        self._values: NDArray[np.int64] = block["values"]
        self._histograms: NDArray[np.uint64] = block["histograms"]

    def value(self, value: int) -> int:
        """Return one counter or gauge."""
        return int(self._values[value])

    @property
    def values(self) -> NDArray[np.int64]:
        """A copy of all counters and gauges, by number."""
        return self._values.copy()

    def histogram(self, histogram: int) -> HistogramView:
        """Return a copy of one histogram."""
        words = self._histograms[histogram].copy()
        count, total, largest, smallest = (int(word) for word in words[HISTOGRAM_BUCKETS:])
        return HistogramView(
            count=count,
            sum=total,
            max=largest,
            min=_MASK - smallest if count else 0,
            buckets=words[:HISTOGRAM_BUCKETS],
        )

    def snapshot(self) -> dict[int, int]:
        """Return every counter and gauge that is not zero, by number."""
        values = self.values
        return {int(number): int(values[number]) for number in np.flatnonzero(values)}


class Meters(MetersView):
    """The writing end, for every thread of the process that owns the segment."""

    def add(self, value: int, amount: int = 1) -> None:
        """Add to a counter."""
        lib.ovr_meter_add(self._base, value, amount)

    def set(self, value: int, amount: int) -> None:
        """Set a gauge."""
        lib.ovr_meter_set(self._base, value, amount)

    def record(self, histogram: int, value_ns: int) -> None:
        """Add a sample; negative values (clocks of two machines) count as 0."""
        lib.ovr_histogram_record(self._base, histogram, max(0, value_ns))


assert VALUES == lib.OVR_VALUES
assert HISTOGRAMS == lib.OVR_HISTOGRAMS
