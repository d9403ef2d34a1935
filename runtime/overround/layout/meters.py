"""The ``meters`` block: counters and gauges, then histograms, of one process."""

from __future__ import annotations

import numpy as np

VALUES = 128
HISTOGRAMS = 16
HISTOGRAM_BUCKETS = 512
HISTOGRAM_WORDS = HISTOGRAM_BUCKETS + 4
"""Buckets, then count, sum, largest value, complement of the smallest value."""

METERS = np.dtype(
    [
        ("values", "<i8", (VALUES,)),
        ("histograms", "<u8", (HISTOGRAMS, HISTOGRAM_WORDS)),
    ]
)
