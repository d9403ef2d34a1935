"""Audit tap: everything in and out, appended to memory-mapped files; see ``tap.h``.

Files are ``tap-000000.ovt`` and on, preallocated. Native code appends and rolls into a spare by
itself; ``roll`` (called on a timer) retires full files and prepares the next spare. At
``segments_max`` files, or on a full disk, there is no spare: appends are dropped and counted, and
a GAP record says how many as soon as there is room again. Nothing is ever overwritten.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from overround._native import ffi, lib
from overround.clock import epoch_ns
from overround.errors import HostError, LayoutError

_FILE = struct.Struct("<8sIIQQQQQQ")
_RECORD = struct.Struct("<IIQIHH")
_MAGIC = b"OVRTAP01"
_CHECKED_FROM = 8
"""The checksum covers a record from here on: all but length and checksum itself."""

AHEAD_BYTES = 256 * 1024
"""Pages kept ready beyond what is written, for bursts between two calls of ``roll``."""

STEP_BYTES = 64 * 1024
"""Pages made ready in one call: sixteen take 60 us together, 6 to 20 us each in a frame's way."""

_MADV_POPULATE_WRITE = 23
"""Linux 5.14; the mmap module has no name for it."""


class TapKind(IntEnum):
    """What a record holds; same numbers as ``enum ovr_tap_kind``."""

    FRAME_IN = 1
    FRAME_OUT = 2
    CONNECT = 3
    CLOSE = 4
    REST = 5
    TICK = 6
    GAP = 7  # payload: u64 number of records lost here
    MARKET = 8  # payload: JSON of a market added


_KINDS = frozenset(TapKind)


@dataclass(frozen=True, slots=True)
class TapRecord:
    """One record: what, when it came (monotonic ns), on which connection, the bytes."""

    kind: TapKind
    recv_ns: int
    connection: int
    payload: bytes


class _File:
    """One mapped file of the tap."""

    def __init__(self, path: Path, size: int, run_id: int, index: int) -> None:
        self.path = path
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Real blocks, so that a full disk is an error here and not SIGBUS in the hot path.
            os.posix_fallocate(fd, 0, size)
            self._map = mmap.mmap(fd, size, flags=mmap.MAP_SHARED)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(fd)
        self._ready = 0
        for _ in range(AHEAD_BYTES // STEP_BYTES):
            self.keep_ready(0)
        self._buffer: Any = ffi.from_buffer("uint8_t[]", self._map, require_writable=True)
        self.pointer: Any = ffi.cast("uint8_t *", self._buffer)
        lib.ovr_tap_format(self.pointer, size, run_id, index, epoch_ns())

    def keep_ready(self, used: int) -> None:
        """Map some more pages for writing if fewer than ``AHEAD_BYTES`` lie ready."""
        start = max(self._ready, used // STEP_BYTES * STEP_BYTES)
        length = min(STEP_BYTES, len(self._map) - start)
        if length <= 0 or start - used >= AHEAD_BYTES:
            return
        # Best effort: an older kernel takes the page faults as they come.
        with contextlib.suppress(OSError):
            self._map.madvise(_MADV_POPULATE_WRITE, start, length)
        self._ready = start + length

    def close(self) -> None:
        used = lib.ovr_tap_used(self.pointer)
        ffi.release(self._buffer)
        self._map.close()
        os.truncate(self.path, used)


class TapWriter:
    """The one writer of a tap folder; ``native_pointer`` is what the feed engine takes.

    ``guard`` is held around every change of the native structure: where a thread of native code
    appends as well, it is the mutex of that thread.
    """

    guard: contextlib.AbstractContextManager[object] = contextlib.nullcontext()

    def __init__(
        self, folder: Path, segment_bytes: int, segments_max: int, *, run_id: int = 0
    ) -> None:
        """Go on in ``folder`` with a fresh file after those that are there.

        Raises HostError when not even the first file can be made.
        """
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.segments_max = segments_max
        self._run_id = run_id
        self._rolls_seen = 0
        folder.mkdir(parents=True, exist_ok=True)
        last = tap_files(folder)[-1:]
        self._index = 1 + int(last[0].stem.removeprefix("tap-")) if last else 0
        self.native_pointer: Any = ffi.new("struct ovr_tap *")
        current = self._create()
        if current is None:
            raise HostError(
                f"no room for a tap of {segment_bytes} bytes in {folder}: free the disk, "
                f"remove old files or raise tap_segments_max ({segments_max})"
            )
        self._current: _File = current
        self._spare: _File | None = None
        self.native_pointer.base = current.pointer
        self.native_pointer.size = segment_bytes
        self.native_pointer.used = lib.OVR_TAP_HEADER_BYTES
        self.roll()

    def _create(self) -> _File | None:
        if len(tap_files(self.folder)) >= self.segments_max:
            return None
        path = self.folder / f"tap-{self._index:06d}.ovt"
        try:
            file = _File(path, self.segment_bytes, self._run_id, self._index)
        except OSError:
            return None
        self._index += 1
        return file

    def append(self, kind: TapKind, recv_ns: int, connection: int, payload: bytes) -> bool:
        """Append one record; False if it was dropped for want of room (counted, gap marked)."""
        with self.guard:
            status = lib.ovr_tap_append(
                self.native_pointer, kind, recv_ns, connection, payload, len(payload)
            )
        return bool(status == 0)

    def roll(self) -> bool:
        """Retire a full file and prepare the next spare; return whether there is one.

        Call it every few milliseconds: between two calls at most one file may fill up.
        """
        tap = self.native_pointer
        if tap.rolls != self._rolls_seen:
            self._rolls_seen = tap.rolls
            assert self._spare is not None
            self._current.close()
            self._current, self._spare = self._spare, None
        if self._spare is None:
            self._spare = self._create()
            if self._spare is not None:
                with self.guard:
                    tap.spare_size = self.segment_bytes
                    tap.spare = self._spare.pointer
        self._current.keep_ready(tap.used)
        return self._spare is not None

    @property
    def dropped(self) -> int:
        """Records dropped for want of room."""
        return int(self.native_pointer.dropped)

    @property
    def bytes(self) -> int:
        """Bytes appended in all."""
        return int(self.native_pointer.bytes)

    def close(self) -> None:
        """Cut the files to what was written, remove an unused spare, refuse further appends."""
        self.roll()
        tap = self.native_pointer
        with self.guard:
            tap.base = tap.spare = ffi.NULL
        self._current.close()
        if self._spare is not None:
            self._spare.close()
            self._spare.path.unlink()
            self._spare = None


def tap_files(folder: Path) -> list[Path]:
    """Return the files of a tap in the order they were written."""
    return sorted(folder.glob("tap-*.ovt"))


def read_tap(paths: Iterable[Path]) -> Iterator[TapRecord]:
    """Yield every whole record of these files, in order; a torn tail ends its file cleanly.

    Raises LayoutError for a file or a record that this version does not know.
    """
    for path in paths:
        data = path.read_bytes()
        if len(data) < _FILE.size or data[:8] != _MAGIC or _FILE.unpack_from(data)[1] != 1:
            raise LayoutError(f"{path} is no tap file of version 1")
        yield from _records(data)


def _records(data: bytes) -> Iterator[TapRecord]:
    offset = _FILE.size
    while offset + _RECORD.size <= len(data):
        length, crc, recv_ns, connection, kind, _flags = _RECORD.unpack_from(data, offset)
        end = offset + _RECORD.size + length
        checked = data[offset + _CHECKED_FROM : end]
        if end > len(data) or lib.ovr_crc32c(0, checked, len(checked)) != crc:
            return
        if kind not in _KINDS:  # whole, so not damaged: written by a later version
            raise LayoutError(f"tap record of unknown kind {kind} at byte {offset}")
        payload = data[offset + _RECORD.size : end]
        yield TapRecord(TapKind(kind), recv_ns, connection, payload)
        offset = end + -length % 8
