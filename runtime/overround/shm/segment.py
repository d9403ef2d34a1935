"""One shared region: a POSIX shared memory segment with a header page and one owner.

Life: the supervisor creates; the owner attaches, takes the lease, takes over, restores the
content, beats; readers attach and ask ``usable`` before they act on what they read. The lease is
a ``flock`` on a descriptor the owner opened itself: the kernel frees it at any kind of death.
A segment is never truncated or reused: a new run has new names, so no mapping dies by SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Any, Self

import posix_ipc

from overround._native import ffi, lib
from overround.clock import sleep
from overround.errors import HostError, LayoutError
from overround.layout.region import REGIONS, RegionKind, layout_hash
from overround.shm.process import boot_hash, start_ticks

_HUGE_PAGE_BYTES = 2 * 1024 * 1024
_LEASE_ATTEMPTS = 5
_LEASE_PAUSE_S = 0.001
"""``lease_is_free`` holds a lease for a moment to learn whether it can; outlast that moment."""


class Segment:
    """A mapped region. ``pointer`` is what native calls take; it is valid until ``close``."""

    def __init__(self, shared: posix_ipc.SharedMemory, kind: RegionKind, size: int) -> None:
        self.name: str = shared.name
        self.kind = kind
        self.fd: int = shared.fd
        self._lease_fd = -1
        self.pointer: Any = lib.ovr_memory_map(self.fd, size)
        if self.pointer == ffi.NULL:
            raise HostError(f"cannot map {size} bytes of {self.name}: raise the memory limit")
        self.address = int(ffi.cast("uintptr_t", self.pointer))
        self.size = size
        self.capacity = 0
        self.record_size = 0
        self.run_id = 0
        self.locked = lib.ovr_memory_lock(self.pointer, size) == 0
        """Whether the pages are locked; best effort, a gauge shows it."""
        self.huge = False
        """Whether the creator got huge pages; best effort."""

    @classmethod
    def create(
        cls,
        name: str,
        kind: RegionKind,
        *,
        capacity: int,
        record_size: int = 0,
        run_id: int,
        mode: int = 0,
        lease: bool = False,
        node: int = -1,
    ) -> Self:
        """Return a fresh zeroed segment; its epoch stays odd until the first ``take_over``.

        ``capacity`` counts records: a power of two of at least 8 for rings, 1 for meters, 0 for
        the kill latch. ``record_size`` defaults to the layout's. With ``lease`` the creator holds
        the lease before anybody can see the name as a region. With ``node`` its pages are wanted
        on that memory node. Raises HostError when the name is
        taken or memory is short, LayoutError when the geometry is impossible.
        """
        record_size = record_size or REGIONS[kind].record_size
        size = lib.ovr_segment_size(record_size, capacity)
        if size == 0:
            raise LayoutError(
                f"{name}: {capacity} records of {record_size} bytes cannot be laid out"
            )
        try:
            shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600)
        except posix_ipc.ExistentialError:
            raise HostError(f"shared region {name} already exists; is the run alive?") from None
        with contextlib.ExitStack() as undo:
            undo.callback(shared.unlink)
            undo.callback(shared.close_fd)
            lease_fd = _lock(name) if lease else -1
            if lease:
                undo.callback(os.close, lease_fd)
            _allocate(shared, size)
            segment = cls(shared, kind, size)
            undo.pop_all()
            segment._lease_fd = lease_fd
            undo.callback(segment.unlink)
            undo.callback(segment.close)
            if node >= 0:  # before anybody else maps the pages: then they can move
                lib.ovr_place_bind(segment.pointer, size, node)
            segment._format(capacity, record_size, run_id, mode)
            undo.pop_all()
        return segment

    def _format(self, capacity: int, record_size: int, run_id: int, mode: int) -> None:
        if self.size >= _HUGE_PAGE_BYTES:
            self.huge = lib.ovr_memory_collapse(self.pointer, self.size) == 0
        status = lib.ovr_segment_init(
            self.pointer,
            self.size,
            self.kind,
            record_size,
            capacity,
            layout_hash(self.kind),
            run_id,
            mode,
        )
        if status != 0:
            raise LayoutError(
                f"{self.name}: {capacity} records of {record_size} bytes are no "
                f"{self.kind.name.lower()} region: {os.strerror(-status)}"
            )
        self._read_geometry()

    @classmethod
    def attach(cls, name: str, kind: RegionKind) -> Self:
        """Return an existing segment mapped for reading, or for owning after ``take_lease``.

        Raises HostError when there is none (or it is not set up yet), LayoutError when it was
        made by a build with another layout.
        """
        try:
            shared = posix_ipc.SharedMemory(name)
        except posix_ipc.ExistentialError:
            raise HostError(f"no shared region {name}: its run has ended") from None
        size = os.fstat(shared.fd).st_size
        if size < lib.OVR_HEADER_BYTES:
            shared.close_fd()
            raise HostError(f"shared region {name} is not set up yet: try again")
        with contextlib.ExitStack() as undo:
            undo.callback(shared.close_fd)
            segment = cls(shared, kind, size)
            undo.pop_all()
            undo.callback(segment.close)
            status = lib.ovr_segment_check(segment.pointer, size, kind, layout_hash(kind))
            if status == -errno.EAGAIN:
                raise HostError(f"shared region {name} is not set up yet: try again")
            if status == 0:
                segment._read_geometry()
            if status != 0 or segment.record_size != REGIONS[kind].record_size:
                raise LayoutError(
                    f"shared region {name} is no {kind.name.lower()} of this build: "
                    "stop every process of the run and start again"
                )
            undo.pop_all()
        return segment

    def _read_geometry(self) -> None:
        self.capacity = int(lib.ovr_segment_capacity(self.pointer))
        self.record_size = int(lib.ovr_segment_record_size(self.pointer))
        self.run_id = int(lib.ovr_segment_run_id(self.pointer))

    def take_lease(self) -> None:
        """Become the only process that may own this region, until ``close`` or death.

        Raises HostError when another process holds the lease.
        """
        if self._lease_fd < 0:
            try:
                self._lease_fd = _lock(self.name)
            except posix_ipc.ExistentialError:
                raise HostError(f"no shared region {self.name}: its run has ended") from None

    @property
    def leased(self) -> bool:
        """Whether this object holds the lease."""
        return self._lease_fd >= 0

    def take_over(self) -> int:
        """Become the owner: mend what the last one left half-written; return how many records.

        The region stays unusable for readers until the first ``beat``, so restore its content
        first. Needs the lease; raises HostError without it.
        """
        if not self.leased:
            raise HostError(f"{self.name}: take the lease before the region")
        pid = os.getpid()
        lib.ovr_segment_takeover_begin(self.pointer, pid, start_ticks(pid), boot_hash())
        repaired = int(lib.ovr_segment_repair(self.pointer))
        lib.ovr_segment_takeover_end(self.pointer)
        return repaired

    def beat(self, now_ns: int) -> None:
        """Say that the owner is alive and all it published so far is meant."""
        lib.ovr_segment_beat(self.pointer, now_ns)

    def usable(self, now_ns: int, lease_ns: int) -> bool:
        """Return whether the epoch is even and the last beat at most ``lease_ns`` old."""
        return bool(lib.ovr_segment_usable(self.pointer, now_ns, lease_ns))

    @property
    def epoch(self) -> int:
        """Odd while set up or repaired; a new even value after each take-over."""
        return int(lib.ovr_segment_epoch(self.pointer))

    @property
    def generation(self) -> int:
        """Number of take-overs so far."""
        return int(lib.ovr_segment_generation(self.pointer))

    @property
    def mode(self) -> int:
        """Trading mode number given at creation."""
        return int(lib.ovr_segment_mode(self.pointer))

    @property
    def owner_pid(self) -> int:
        """Process id of the last owner; 0 before the first."""
        return int(lib.ovr_segment_owner_pid(self.pointer))

    @property
    def owner_start(self) -> int:
        """Start time of the last owner (``process.start_ticks``)."""
        return int(lib.ovr_segment_owner_start(self.pointer))

    @property
    def heartbeat_ns(self) -> int:
        """Monotonic time of the last beat; 0 since a take-over without one."""
        return int(lib.ovr_segment_heartbeat_ns(self.pointer))

    @property
    def cursor(self) -> int:
        """Records published (rings) or high-water mark of used slots."""
        return int(lib.ovr_segment_cursor(self.pointer))

    @property
    def head(self) -> int:
        """Records consumed; bounded rings only."""
        return int(lib.ovr_segment_head(self.pointer))

    @property
    def state(self) -> int:
        """A word the owner may use to tell its readers more."""
        return int(lib.ovr_segment_state(self.pointer))

    def set_state(self, value: int) -> None:
        """Publish ``state``: who reads it sees what the owner did before."""
        lib.ovr_segment_set_state(self.pointer, value)

    def close(self) -> None:
        """Unmap and give up the lease; wrappers over this segment must not be used afterwards."""
        if self.pointer == ffi.NULL:
            return
        lib.ovr_memory_unmap(self.pointer, self.size)
        self.pointer = ffi.NULL
        os.close(self.fd)
        if self._lease_fd >= 0:
            os.close(self._lease_fd)
            self._lease_fd = -1

    def unlink(self) -> None:
        """Remove the name; mappings stay valid. A name already gone is fine."""
        with contextlib.suppress(posix_ipc.ExistentialError):
            posix_ipc.unlink_shared_memory(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Segment {self.name} {self.kind.name.lower()} {self.capacity}x{self.record_size}>"


def _allocate(shared: posix_ipc.SharedMemory, size: int) -> None:
    """Reserve the pages now: a full /dev/shm shows here as an error, not later as SIGBUS."""
    try:
        os.posix_fallocate(shared.fd, 0, size)
    except OSError as error:
        raise HostError(
            f"no {size} bytes of shared memory for {shared.name}: {error.strerror}; "
            "enlarge /dev/shm or lower the capacity"
        ) from None


def _lock(name: str, attempts: int = _LEASE_ATTEMPTS) -> int:
    """Return a fresh descriptor of the segment that holds its flock; the lease lives with it."""
    # A descriptor of its own: flock belongs to the open file, and a shared or inherited one
    # would keep the lease alive after its owner.
    lease: int = posix_ipc.SharedMemory(name).fd
    for attempt in range(attempts):
        if attempt > 0:
            sleep(_LEASE_PAUSE_S)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lease
    os.close(lease)
    raise HostError(f"region {name} already has an owner: stop it first")


def lease_is_free(name: str) -> bool:
    """Return whether nobody holds the lease of this segment (or there is no such segment)."""
    try:
        os.close(_lock(name, attempts=1))
    except posix_ipc.ExistentialError:
        return True
    except HostError:
        return False
    return True
