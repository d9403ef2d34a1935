"""A seccomp filter for one child process: io_uring_setup fails as it does under Docker."""

from __future__ import annotations

import ctypes
import struct

_IO_URING_SETUP = 425
"""The same number on x86-64 and AArch64."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def refuse_io_uring(error: int) -> None:
    """Make io_uring_setup return ``error`` in this process from now on; needs no privilege.

    For a child between fork and exec: there is no way back.
    """
    program = (
        (_LOAD, 0, 0, 0),
        (_EQUAL, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    filter_ = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(filter_), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no seccomp filter")
