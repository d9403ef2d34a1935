"""An isolated partition of cgroup v2: CPUs that the scheduler balances nobody else onto.

No reboot needed, and gone with the instance. It wants the right to make a group at the top of
the tree (root, or whoever was given it), because only below a partition's root can there be one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection
from typing import Final

from overround.clock import sleep
from overround.errors import HostError
from overround.host.cpus import format_cpus
from overround.host.tree import Tree

__all__ = ["Partition", "left_over"]

PREFIX: Final = "overround-"
_LEAVE_ATTEMPTS: Final = 50
_LEAVE_PAUSE_S: Final = 0.02
"""A process that just ended stays in its group for a moment."""


def _top(tree: Tree) -> str:
    for line in (tree.read("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        if "cgroup2" in fields[fields.index("-") + 1 :][:1]:
            return fields[4]
    raise HostError("no cgroup v2 is mounted")


class Partition:
    """A group of CPUs of an instance's own; ``create`` makes it, ``remove`` ends it."""

    def __init__(self, tree: Tree, instance: str) -> None:
        """Name the group of an instance. Raises HostError where there is no cgroup v2."""
        self._tree = tree
        self._top = _top(tree)
        self.group = f"{self._top}/{PREFIX}{instance}"

    def create(self, cpus: Collection[int]) -> None:
        """Make the group and have its CPUs kept apart.

        Raises HostError with the kernel's reason; nothing is left behind then.
        """
        if "cpuset" not in (self._tree.read(f"{self._top}/cgroup.controllers") or "").split():
            raise HostError("cgroup v2 has no cpuset here")
        try:
            if (
                "cpuset"
                not in (self._tree.read(f"{self._top}/cgroup.subtree_control") or "").split()
            ):
                self._tree.write(f"{self._top}/cgroup.subtree_control", "+cpuset")
            with contextlib.suppress(FileExistsError):
                self._tree.at(self.group).mkdir()
            self._tree.write(f"{self.group}/cpuset.cpus", format_cpus(cpus))
            self._tree.write(f"{self.group}/cpuset.cpus.partition", "isolated")
        except OSError as error:
            self.remove()
            raise HostError(f"{error.filename or self.group}: {error.strerror}") from None
        state = (self._tree.read(f"{self.group}/cpuset.cpus.partition") or "").strip()
        if state != "isolated":
            self.remove()
            raise HostError(f"the kernel says '{state}' for CPUs {format_cpus(cpus)}")

    def join(self) -> None:
        """Move this process in. Raises OSError."""
        self._tree.write(f"{self.group}/cgroup.procs", str(os.getpid()))

    def leave(self) -> None:
        """Move this process out, to the top. Raises OSError."""
        self._tree.write(f"{self._top}/cgroup.procs", str(os.getpid()))

    def remove(self) -> bool:
        """Give the CPUs back; return whether the group is gone."""
        with contextlib.suppress(OSError):
            self._tree.write(f"{self.group}/cpuset.cpus.partition", "member")
        for _ in range(_LEAVE_ATTEMPTS):
            try:
                self._tree.at(self.group).rmdir()
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno != errno.EBUSY:
                    return False
                sleep(_LEAVE_PAUSE_S)
            else:
                return True
        return False


def left_over(tree: Tree, alive: Collection[str]) -> list[Partition]:
    """Return the partitions of instances that are not among ``alive``."""
    try:
        top = _top(tree)
    except HostError:
        return []
    names = [path.rpartition("/")[2].removeprefix(PREFIX) for path in tree.glob(f"{top}/{PREFIX}*")]
    return [Partition(tree, name) for name in names if name not in alive]
