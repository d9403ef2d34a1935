"""Telling systemd how we are (sd_notify): ready, alive, stopping. Silent where it did not ask."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

__all__ = ["notify"]


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a line such as ``READY=1`` or ``WATCHDOG=1``; return whether anybody listens.

    Never blocks and never fails: a full socket of systemd's is systemd's to notice.
    """
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
    ):
        sender.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)
        return True
    return False
