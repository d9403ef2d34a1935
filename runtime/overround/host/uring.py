"""Whether io_uring can carry sockets here, and if not, why.

Docker's default seccomp profile, a sysctl, an old kernel or a build without liburing are ordinary:
each is named in one line.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from overround._native import ffi, lib

__all__ = ["Probe", "Shape", "probe"]

_DISABLED = Path("/proc/sys/kernel/io_uring_disabled")
_STATUS = Path("/proc/self/status")


class Shape(StrEnum):
    """Who drives the ring."""

    LOOP = "loop"  # the event loop, which watches the ring's descriptor
    THREAD = "thread"  # a thread of its own that sleeps in the kernel
    SPIN = "spin"  # a thread of its own that never sleeps: wants a CPU for itself

    @property
    def number(self) -> int:
        """The native code's number of the shape."""
        numbers = {"loop": lib.OVR_URING_LOOP, "thread": lib.OVR_URING_WAIT}
        return int(numbers.get(self.value, lib.OVR_URING_SPIN))


@dataclass(frozen=True, slots=True)
class Probe:
    """What the machine granted."""

    usable: bool
    cause: str
    """Why not, in one line; empty when usable."""
    library: str
    """Version of liburing, empty without it."""
    features: int
    """Feature word of io_uring_setup, 0 when it refused."""
    opcode_last: int
    """Newest operation the kernel knows, 0 when it refused."""


def probe(shape: Shape = Shape.LOOP) -> Probe:
    """Make a ring with the flags of ``shape``, look at its operations, receive one byte."""
    found = ffi.new("struct ovr_uring_probe *")
    lib.ovr_uring_probe(shape.number, found)
    return Probe(
        usable=found.stage == lib.OVR_URING_USABLE,
        cause=_cause(found.stage, found.error),
        library=ffi.string(lib.ovr_uring_library()).decode(),
        features=found.features,
        opcode_last=found.opcode_last,
    )


def _cause(stage: int, error: int) -> str:
    name = errno.errorcode.get(error, str(error))
    if stage == lib.OVR_URING_USABLE:
        return ""
    if stage == lib.OVR_URING_NOT_BUILT:
        return "built without liburing: install liburing-dev and build again"
    if stage == lib.OVR_URING_OPERATION:
        return f"the kernel ({os.uname().release}) lacks an operation we need ({name})"
    if stage == lib.OVR_URING_BUFFERS:
        return f"the kernel ({os.uname().release}) has no provided buffer rings ({name})"
    if stage == lib.OVR_URING_SELF_TEST:
        return f"the self-test failed ({name})"
    return f"io_uring_setup was refused with {name}: {_refusal(error)}"


def _refusal(error: int) -> str:
    if error == errno.ENOSYS:
        return "this kernel or sandbox has no io_uring"
    if error == errno.ENOMEM:
        return "no memory for the ring: look at the limits (memlock)"
    if error == errno.EINVAL:
        return f"kernel {os.uname().release} is older than the flags we need (6.1)"
    if error == errno.EPERM:
        if _read(_DISABLED).strip() in ("1", "2"):
            return "the sysctl kernel.io_uring_disabled forbids it"
        if "Seccomp:\t2" in _read(_STATUS):
            return "a seccomp filter forbids it, as Docker's default profile does"
        return "no permission"
    return os.strerror(error)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
