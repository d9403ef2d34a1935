"""Keeps a device open with a value in it: ``python -m overround.host.tune.hold PATH VALUE``.

The kernel forgets the value of ``/dev/cpu_dma_latency`` when the file is closed, so somebody has
to hold it. The process ends by a signal; nothing is left behind whichever way it ends.
"""

from __future__ import annotations

import os
import signal
import sys

from overround.host.tree import Tree

__all__ = ["HELD", "holders"]

HELD = b"held\n"
"""Said on standard output once the value is in force."""


def holders(tree: Tree, path: str) -> list[int]:
    """Return the processes that hold ``path`` for us."""
    mine = ["-m", __name__, str(tree.at(path))]
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            arguments = (Tree().read(f"/proc/{name}/cmdline") or "").split("\0")
            if arguments[1:4] == mine:
                found.append(int(name))
    return found


def main() -> None:
    """Write the value, say so on standard output, and stay."""
    _, path, value = sys.argv
    fd = os.open(path, os.O_RDWR)
    os.write(fd, int(value).to_bytes(4, sys.byteorder, signed=True))
    os.write(sys.stdout.fileno(), HELD)
    os.close(sys.stdout.fileno())
    signal.pause()


if __name__ == "__main__":
    main()
