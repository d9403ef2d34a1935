"""The journal: what this executor meant, sent and learned, in the order it happened.

Append-only records in preallocated, mapped segments ``journal-000000.ovj``. A record is in the
page cache when ``append`` returns, so it survives the death of any process; what a dead
*machine* loses is the sync policy's window (``none``: what the kernel had not written back;
``batch``: what came after the last ``sync``; ``record``: nothing).

::

    segment   header 64 bytes: magic, version, index, first sequence, CRC; then records
    record    length u32 | crc u32 | sequence u64 | epoch_ns u64 | kind u16 | flags u16 | size u32
              | payload, padded with zeros to 8 bytes

``length`` is the whole record with its padding; the CRC32C covers all that follows it. A length
of zero is the end: segments are born zeroed.

A writer killed inside ``append`` leaves a **torn tail**: bytes that are no whole record, with no
whole record behind them. It is cut (zeroed) by the next owner, and reported. A bad record with
whole ones behind it is not a torn tail but damage: that raises, because cutting there would
forget orders that were sent.

Writer: one process, by a ``flock`` on the folder's lock file. Readers: anyone, any time; a
reader beside a live writer sees a prefix.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from overround import clock
from overround._native import ffi, lib
from overround.errors import HostError, InvariantError, OverroundError

__all__ = [
    "Checkpoint",
    "Journal",
    "JournalDamage",
    "JournalRecord",
    "Replay",
    "TornTail",
    "read_record",
    "replay",
]

MAGIC: Final = b"OVRJRNL\x01"
VERSION: Final = 1
HEADER_BYTES: Final = 64
PAYLOAD_BYTES_MAX: Final = 60_000
"""Well above the longest record (a signed order is about 1 KiB), below the smallest segment."""
PROGRESS_RECORDS: Final = 1_024
"""Some ten milliseconds of replay: what a heartbeat may wait for."""
_FILE_HEADER = struct.Struct("<8sIIQ")
_RECORD = struct.Struct("<IIQQHHI")
_CRC = struct.Struct("<I")
_USUAL_BYTES = 2_048
_CRC_AT_FILE = 60


class JournalDamage(OverroundError):
    """Whole records lie behind a broken one: restore the folder, or reconcile and move it."""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One whole record, as it was appended."""

    sequence: int
    epoch_ns: int
    kind: int
    payload: bytes
    segment: int
    offset: int
    checksum: int = 0
    """CRC32C of all that follows it in the record."""

    @property
    def place(self) -> int:
        """Where it stands, as ``read_record`` takes it."""
        return self.segment << 32 | self.offset


@dataclass(frozen=True, slots=True)
class TornTail:
    """What an interrupted append left behind: where, and how many bytes up to the last set one."""

    segment: int
    offset: int
    length_bytes: int


def segment_path(folder: Path, index: int) -> Path:
    """Return the path of segment ``index``."""
    return folder / f"journal-{index:06d}.ovj"


def _crc(data: bytes) -> int:
    return int(lib.ovr_crc32c(0, ffi.from_buffer(data), len(data)))


def decode_record(
    data: bytes, at: int, segment: int, *, base: int = 0
) -> tuple[JournalRecord, int] | None:
    """Return the whole record at ``data[at:]`` and where it ends, None if there is none.

    ``data`` was read from byte ``base`` of the segment's file.
    """
    if at + _RECORD.size > len(data):
        return None
    length, crc, sequence, epoch_ns, kind, _, size = _RECORD.unpack_from(data, at)
    end = at + length
    if length < _RECORD.size or length & 7 or end > len(data) or size > length - _RECORD.size:
        return None
    if _crc(data[at + 8 : end]) != crc:
        return None
    start = at + _RECORD.size
    payload = data[start : start + size]
    return JournalRecord(sequence, epoch_ns, kind, payload, segment, base + at, crc), end


def file_header(index: int, first_sequence: int) -> bytes:
    """Return the header of a segment whose first record has this sequence."""
    body = _FILE_HEADER.pack(MAGIC, VERSION, index, first_sequence).ljust(_CRC_AT_FILE, b"\0")
    return body + _CRC.pack(_crc(body))


def first_sequence(index: int, header: bytes) -> int | None:
    """Return the sequence that a segment's header names, None if it is no header of this one."""
    if len(header) < HEADER_BYTES:
        return None
    sequence: int = _FILE_HEADER.unpack_from(header)[3]
    return sequence if header[:HEADER_BYTES] == file_header(index, sequence) else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What followed from all records up to ``last``, as bytes of whoever wrote it."""

    last: JournalRecord
    state: bytes


class Replay:
    """Iterate over every whole record of a folder; afterwards ``torn`` tells what was cut off.

    ``next_sequence``, ``segment`` and ``offset`` say where the next record belongs. Raises
    JournalDamage where records are missing or broken anywhere but at the very end.
    """

    def __init__(
        self,
        folder: Path,
        progress: Callable[[], None] = lambda: None,
        after: JournalRecord | None = None,
    ) -> None:
        """Begin behind ``after``, a record that ``read_record`` has just returned, if given."""
        self.folder = folder
        self._progress = progress
        self.after = after
        self.torn: TornTail | None = None
        self.next_sequence = 1
        self.segment = -1
        self.offset = HEADER_BYTES

    def __iter__(self) -> Iterator[JournalRecord]:
        self.torn, self.next_sequence, self.segment, self.offset = None, 1, -1, HEADER_BYTES
        paths = sorted(self.folder.glob("journal-*.ovj"))
        for index, path in enumerate(paths):
            if path != segment_path(self.folder, index):
                raise JournalDamage(f"journal segment {index} is missing: found {path}")
        after = self.after
        if after is not None:
            self.next_sequence = after.sequence + 1
        for index in range(after.segment if after is not None else 0, len(paths)):
            data = paths[index].read_bytes()
            yield from self._segment(index, data, last=index == len(paths) - 1)

    def _segment(self, index: int, data: bytes, *, last: bool) -> Iterator[JournalRecord]:
        after = self.after
        inside = after is not None and after.segment == index
        first = first_sequence(index, data[:HEADER_BYTES]) if inside else self.next_sequence
        header = file_header(index, first or 0)
        if data[:HEADER_BYTES] != header:
            # A roll was interrupted: the new segment exists, its header does not, nor a record.
            if last and not any(data[HEADER_BYTES:]):
                torn = len(data[:HEADER_BYTES].rstrip(b"\0"))
                self.torn = TornTail(index, 0, torn) if torn else None
                return
            raise JournalDamage(f"{segment_path(self.folder, index)}: header is not {header!r}")
        self.segment, self.offset = index, HEADER_BYTES
        if inside and after is not None:
            self.offset = after.offset + _RECORD.unpack_from(data, after.offset)[0]
        while (found := decode_record(data, self.offset, index)) is not None:
            record, end = found
            if record.sequence != self.next_sequence:
                break
            self.next_sequence, self.offset = record.sequence + 1, end
            if record.sequence % PROGRESS_RECORDS == 0:
                self._progress()
            yield record
        self._end(index, data, last=last)

    def _end(self, index: int, data: bytes, *, last: bool) -> None:
        used = data[self.offset :].rstrip(b"\0")
        if not used:
            return
        end = self.offset + len(used)
        for at in range(self.offset + 8, end, 8):
            found = decode_record(data, at, index)
            if found is not None and found[0].sequence >= self.next_sequence:
                last = False
                break
        if not last:
            path = segment_path(self.folder, index)
            raise JournalDamage(
                f"{path}: broken record at byte {self.offset} with whole records behind it; "
                "restore the folder from a copy, or reconcile by hand and move it away"
            )
        self.torn = TornTail(index, self.offset, len(used))


def read_record(folder: Path, place: int) -> JournalRecord:
    """Return the record at a place (``segment << 32 | offset``); JournalDamage if none is whole."""
    segment, offset = place >> 32, place & 0xFFFF_FFFF
    path = segment_path(folder, segment)
    try:
        with path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), _USUAL_BYTES, offset)
            if len(data) >= _RECORD.size and _RECORD.unpack_from(data)[0] > len(data):
                data = os.pread(file.fileno(), _RECORD.size + PAYLOAD_BYTES_MAX + 8, offset)
    except OSError as error:
        raise JournalDamage(f"{path}: {error.strerror}; restore the folder from a copy") from error
    found = decode_record(data, 0, segment, base=offset)
    if found is None:
        raise JournalDamage(f"{path}: no whole record at byte {offset}; restore it from a copy")
    return found[0]


def replay(folder: Path) -> Replay:
    """Return an iterable over the whole records of ``folder``; changes nothing on disk."""
    return Replay(folder)


class Journal:
    """The one writer of a folder: cuts a torn tail on opening, then appends.

    ``sync_policy`` is ``none``, ``batch`` (the owner calls ``sync``) or ``record``; ``progress``
    is called now and then while what is there is read, so that the process can say that it
    lives. Raises HostError if another process writes the folder or the disk is full,
    JournalDamage if what is there cannot be continued.
    """

    checkpoint: Checkpoint | None = None
    _segment = 0
    _last = 0

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        sync_policy: str = "batch",
        epoch_ns: Callable[[], int] = clock.epoch_ns,
        progress: Callable[[], None] = lambda: None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.folder = folder
        self.checkpoint = checkpoint
        """State up to a record; ``records`` are those behind it."""
        self._segment_bytes = segment_bytes
        self._policy = sync_policy
        self._progress = progress
        self._epoch_ns = epoch_ns
        self._unsynced_bytes = 0
        self._map: mmap.mmap | None = None
        self._base: Any = ffi.NULL
        self._map_bytes = 0
        self._ahead: list[int] | None = None
        """Where records end that native code has written and nobody has confirmed yet."""
        self._fd = -1
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = self._lock()
        try:
            tail = Replay(folder, progress, checkpoint.last if checkpoint else None)
            self.records: Iterable[JournalRecord] = tail
            """What the folder holds behind the checkpoint, oldest first, read from the disk each
            time: a long journal is never in memory as a whole."""
            for _ in tail:
                pass
            self.torn = tail.torn
            self.next_sequence = tail.next_sequence
            self._segment, self._offset = tail.segment, tail.offset
            self._start()
        except BaseException:
            self.close()
            raise

    def refuse_checkpoint(self) -> None:
        """Let ``records`` be all that the folder holds: its state cannot be used, or has been."""
        self.checkpoint = None
        self.records = Replay(self.folder, self._progress)

    def _lock(self) -> int:
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise HostError(
                f"journal {self.folder} is written by another process: stop that one first"
            ) from None
        return fd

    def _start(self) -> None:
        if self._segment < 0:
            self._roll()
            return
        leftover = segment_path(self.folder, self._segment + 1)
        leftover.unlink(missing_ok=True)  # a roll that never got its header
        self._open(segment_path(self.folder, self._segment))
        if self.torn is not None and self.torn.segment == self._segment:
            self._write(self._offset, bytes(self.torn.length_bytes))

    def _open(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size < self._segment_bytes:
                os.posix_fallocate(fd, 0, self._segment_bytes)
            opened = mmap.mmap(fd, 0)
        except OSError as error:
            os.close(fd)
            raise HostError(f"journal {path}: no room for {self._segment_bytes} bytes") from error
        self._unmap()  # not before: who appends again is to hear of the disk again
        self._fd, self._map = fd, opened
        self._base = ffi.from_buffer("uint8_t[]", self._map, require_writable=True)
        self._map_bytes = len(self._map)

    def _roll(self) -> None:
        self.sync()
        index = self._segment + 1
        # A torn roll may have left this file: start it over, zeroed.
        segment_path(self.folder, index).unlink(missing_ok=True)
        self._open(segment_path(self.folder, index))
        self._segment, self._offset = index, HEADER_BYTES
        self._write(0, file_header(index, self.next_sequence))
        if self._policy != "none":
            os.fsync(self._fd)
            folder_fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder_fd)
            finally:
                os.close(folder_fd)

    def _write(self, offset: int, data: bytes) -> None:
        assert self._map is not None, "journal is closed"
        self._map[offset : offset + len(data)] = data
        self._unsynced_bytes += len(data)

    def append(self, kind: int, payload: bytes) -> int:
        """Append one record and return its sequence; it is durable against any process death.

        ``kind`` is 1 to 65,535, ``payload`` at most 60,000 bytes. Raises HostError when the
        disk is full: the caller must not go on to send.
        """
        if not 0 < kind < 65_536 or len(payload) > PAYLOAD_BYTES_MAX:
            raise ValueError(f"journal record of kind {kind} with {len(payload)} bytes")
        assert self._map is not None, "journal is closed"
        if self._ahead is not None:
            return self._confirm(kind, payload)
        sequence, size = self.next_sequence, len(payload)
        record = (sequence, self._epoch_ns(), kind, payload, size)
        end = lib.ovr_journal_put(self._base, self._map_bytes, self._offset, *record)
        if end == 0:
            self._roll()
            end = lib.ovr_journal_put(self._base, self._map_bytes, self._offset, *record)
        self._unsynced_bytes += end - self._offset
        self._last, self._offset = self._offset, end
        self.next_sequence = sequence + 1
        if self._policy == "record":
            self.sync()
        return sequence

    @property
    def room(self) -> tuple[Any, int, int, int]:
        """The mapped segment, its size, and offset and sequence of the next record.

        For native code that writes whole records there; ``written_ahead`` says so afterwards.
        InvariantError while the last ones are not confirmed: they lie there.
        """
        self.check_confirmed()
        return self._base, self._map_bytes, self._offset, self.next_sequence

    def written_ahead(self, ends: list[int]) -> None:
        """Say that native code has written records that end at these offsets.

        ``append`` confirms them one by one: it compares instead of writing. A record that is not
        the next one ends all appending, so that nothing can be written over what was sent.
        """
        assert self._ahead is None, "the last ones are not confirmed"
        self._ahead = ends

    def _confirm(self, kind: int, payload: bytes) -> int:
        end, sequence = (self._ahead or [0])[0], self.next_sequence
        assert self._map is not None
        found = decode_record(self._map[self._offset : end], 0, self._segment)
        if found is None or (found[0].sequence, found[0].kind, found[0].payload) != (
            sequence, kind, payload,
        ):  # fmt: skip
            self._ahead = []
            raise InvariantError(f"journal record {sequence} is not what was written ahead")
        self._unsynced_bytes += end - self._offset
        self._last, self._offset = self._offset, end
        self.next_sequence = sequence + 1
        self._ahead = (self._ahead or [])[1:] or None
        return sequence

    def check_confirmed(self) -> None:
        """Raise InvariantError if a record that was written ahead is not confirmed."""
        if self._ahead is not None:
            raise InvariantError("records that were written ahead are not confirmed")

    @property
    def position(self) -> tuple[int, int]:
        """Segment index and byte offset of the next record."""
        return self._segment, self._offset

    @property
    def last_place(self) -> int:
        """Where the record stands that was appended last; see ``read_record``."""
        return self._segment << 32 | self._last

    @property
    def appended_bytes(self) -> int:
        """Bytes of all segments so far, up to the next record."""
        return self._segment * self._segment_bytes + self._offset

    @property
    def unsynced_bytes(self) -> int:
        """Bytes appended since the last ``sync``: the loss window against a dead machine."""
        return self._unsynced_bytes

    def sync(self) -> None:
        """Wait until all that was appended is on the disk (no-op under policy ``none``)."""
        if self._policy != "none" and self._unsynced_bytes and self._fd >= 0:
            self._unsynced_bytes = 0
            os.fdatasync(self._fd)

    def begin_sync(self) -> Callable[[], None]:
        """Return a function that waits for the disk, for another thread to call once.

        It covers all that was appended before ``begin_sync``, and is safe while the owner
        appends, rolls or closes.
        """
        self._unsynced_bytes = 0
        fd = os.dup(self._fd)

        def wait() -> None:
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)

        return wait

    def _unmap(self) -> None:
        if self._map is not None:
            ffi.release(self._base)  # a map that is pointed at cannot be closed
            self._map.close()
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Sync, unmap and give up the folder."""
        self.sync()
        self._unmap()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
