"""What ``apply`` is about to change, on disk before it changes it.

One JSON object a line, in order. A line that a crash cut short stands for a change that was not
begun: the line is complete, and on the disk, before its change is made.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Self

import msgspec

from overround.errors import HostError
from overround.host.tree import Tree

__all__ = ["Change", "Diary"]

FOLDER = "/var/lib/overround"
FILE = f"{FOLDER}/tune.jsonl"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Change(msgspec.Struct, frozen=True):
    """One change: the file as it was (None: absent), and what was written."""

    knob: str
    kind: str
    path: str
    before: str | None
    wrote: str
    boot: str

    def undone_by_boot(self, boot: str) -> bool:
        """Whether a restart of the machine has undone it already."""
        return self.kind not in ("dropin", "folder") and self.boot != boot


class Diary:
    """The diary of one machine, locked while it is open."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.boot = (tree.read(BOOT_ID) or "").strip()
        folder = tree.at(FOLDER)
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError(f"{folder}: {error.strerror}: run as root") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock_fd)
            raise HostError("another overround tune is at work: wait for it") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock_fd)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._tree.at(FILE)

    def changes(self) -> list[Change]:
        """Return the changes still to undo, oldest first."""
        return read_changes(self._tree)

    def note(self, knob: str, kind: str, path: str, before: str | None, wrote: str) -> None:
        """Put a change on the disk; when this returns it may be made."""
        change = Change(knob, kind, path, before, wrote, self.boot)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._end_torn_line(fd)
            os.write(fd, json.dumps(msgspec.to_builtins(change)).encode() + b"\n")
            os.fsync(fd)
            os.fsync(self._lock_fd)
        finally:
            os.close(fd)

    def _end_torn_line(self, fd: int) -> None:
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.write(fd, b"\n")

    def keep(self, changes: list[Change]) -> None:
        """Keep only these changes; none removes the diary."""
        if not changes:
            self.path.unlink(missing_ok=True)
            return
        lines = (json.dumps(msgspec.to_builtins(change)) + "\n" for change in changes)
        self._tree.replace(FILE, "".join(lines))


def read_changes(tree: Tree) -> list[Change]:
    """Return the changes still to undo, oldest first; lines cut short are no changes."""
    found = []
    for line in (tree.read(FILE) or "").splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Change))
        except msgspec.DecodeError:
            continue
    return found
