"""The partition's files in a folder; the kernel's own answers are the emulated machine's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overround.errors import HostError
from overround.host.partition import Partition, left_over
from overround.host.tree import Tree

TOP = "sys/fs/cgroup"
MOUNTS = "30 20 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / TOP).mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("29 1 0:5 / /proc rw - proc proc rw\n" + MOUNTS)
    (tmp_path / TOP / "cgroup.controllers").write_text("cpu cpuset memory\n")
    (tmp_path / TOP / "cgroup.subtree_control").write_text("")
    return tmp_path


def group(root: Path) -> Path:
    """Make the group as the kernel would: with its files."""
    folder = root / TOP / "overround-main"
    folder.mkdir()
    for name in ("cpuset.cpus", "cpuset.cpus.partition", "cgroup.procs"):
        (folder / name).write_text("")
    return folder


def test_a_group_is_made_isolated_and_joined(root: Path):
    folder = group(root)
    partition = Partition(Tree(root), "main")
    partition.create({2, 3})
    assert (root / TOP / "cgroup.subtree_control").read_text() == "+cpuset"
    assert (folder / "cpuset.cpus").read_text() == "2-3"
    assert (folder / "cpuset.cpus.partition").read_text() == "isolated"
    partition.join()
    assert (folder / "cgroup.procs").read_text() == str(os.getpid())
    (root / TOP / "cgroup.procs").write_text("")
    partition.leave()
    assert (root / TOP / "cgroup.procs").read_text() == str(os.getpid())


def test_removing_waits_for_nobody_that_is_not_there(root: Path):
    partition = Partition(Tree(root), "main")
    assert partition.remove()
    folder = root / TOP / "overround-main"
    folder.mkdir()
    assert partition.remove()
    assert not folder.exists()


def test_without_the_controller_one_line_says_so(root: Path):
    (root / TOP / "cgroup.controllers").write_text("cpu memory\n")
    with pytest.raises(HostError, match="has no cpuset here"):
        Partition(Tree(root), "main").create({2})


def test_without_cgroup_v2_one_line_says_so(tmp_path: Path):
    with pytest.raises(HostError, match="no cgroup v2 is mounted"):
        Partition(Tree(tmp_path), "main")
    assert left_over(Tree(tmp_path), set()) == []


def test_a_refused_write_leaves_no_group(root: Path):
    # A plain folder has none of the kernel's files: the first write fails.
    with pytest.raises(HostError, match="No such file"):
        Partition(Tree(root), "main").create({2})
    assert not (root / TOP / "overround-main").exists()


def test_what_the_dead_left_is_found(root: Path):
    group(root)
    assert [one.group for one in left_over(Tree(root), set())] == ["/sys/fs/cgroup/overround-main"]
    assert left_over(Tree(root), {"main"}) == []
