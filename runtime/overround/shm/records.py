"""Pointers to numpy records, checked for size, for native calls."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from overround._native import ffi
from overround.errors import LayoutError
from overround.layout.region import REGIONS
from overround.shm.segment import Segment

Record = np.void | NDArray[np.void]
"""One structured scalar, or an array that holds exactly one."""

Records = NDArray[np.void]


def record_dtype(segment: Segment) -> np.dtype[Any]:
    """Return the dtype of a segment's records; raises LayoutError where there are none."""
    dtype = REGIONS[segment.kind].record
    if dtype is None or dtype.itemsize != segment.record_size:
        raise LayoutError(f"{segment!r} has no records of its layout's size")
    return dtype


def pointer_in(record: Record, record_size: int) -> Any:
    """Return a pointer to read one record from; raises LayoutError if it has another size."""
    buffer = ffi.from_buffer(record)
    if len(buffer) != record_size:
        raise LayoutError(f"record has {len(buffer)} bytes, the region's have {record_size}")
    return buffer


def pointer_out(out: Records, record_size: int) -> Any:
    """Return a pointer to write ``len(out)`` records to; raises LayoutError on another size."""
    if out.ndim != 1 or out.itemsize != record_size or not out.flags.c_contiguous:
        raise LayoutError(f"need a contiguous array of {record_size}-byte records, got {out.dtype}")
    return ffi.from_buffer("char[]", out, require_writable=True)
