"""jemalloc by LD_PRELOAD: where it is, and whether a process really runs under it.

It is optional, and for memory that churn leaves behind, not for speed. A missing library is only
a line on standard error, so the variable proves nothing: a process that must know asks
``jemalloc_version``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path

_PINNED = "background_thread:false,narenas:2,dirty_decay_ms:5000,muzzy_decay_ms:0,metadata_thp:auto"
MALLOC_CONF = {"ingress": _PINNED, "detector": _PINNED, "executor": _PINNED}
"""By role. No background thread: it would inherit the affinity of a pinned process. Two arenas:
these processes allocate in one thread. Five seconds: what a burst freed is used by the next."""

_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)


def find_jemalloc() -> str | None:
    """Return the path of the installed jemalloc, or None (Debian: package libjemalloc2)."""
    for folder in _FOLDERS:
        path = Path(folder, "libjemalloc.so.2")
        if path.exists():
            return str(path)
    return None


def jemalloc_version() -> str | None:
    """Return the version of the jemalloc serving this process, or None."""
    try:
        mallctl = ctypes.CDLL(None).mallctl
    except AttributeError:
        return None
    value = ctypes.c_char_p()
    size = ctypes.c_size_t(ctypes.sizeof(value))
    if mallctl(b"version", ctypes.byref(value), ctypes.byref(size), None, 0) != 0:
        return None
    return (value.value or b"").decode("ascii", "replace")


def jemalloc_option(name: str) -> int | bool | None:
    """Return an option of the jemalloc serving this process (``narenas``), None if there is none.

    A misspelt MALLOC_CONF is only a line on standard error, as well.
    """
    if jemalloc_version() is None:
        return None
    value: ctypes.c_uint | ctypes.c_bool | ctypes.c_ssize_t = ctypes.c_ssize_t()
    if name == "narenas":
        value = ctypes.c_uint()
    elif name == "background_thread":
        value = ctypes.c_bool()
    size = ctypes.c_size_t(ctypes.sizeof(value))
    key = f"opt.{name}".encode()
    if ctypes.CDLL(None).mallctl(key, ctypes.byref(value), ctypes.byref(size), None, 0) != 0:
        return None
    return value.value
