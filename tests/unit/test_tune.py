"""The host's knobs on a fake machine: seen, turned, and turned back byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.fake_host import contents, fake_host
from overround.errors import HostError
from overround.host.cpus import (
    format_cpus,
    format_mask,
    online,
    parse_cpus,
    parse_mask,
    siblings,
    spare,
)
from overround.host.tree import Tree
from overround.host.tune.apply import apply, revert
from overround.host.tune.diary import FILE, Diary, read_changes
from overround.host.tune.hold import holders
from overround.host.tune.knob import PROFILES, load_knobs
from overround.host.tune.plan import plan
from overround.host.tune.tuned import tuned_profile

HOT = frozenset({1, 2, 3, 5, 6, 7})
WITHOUT_DEVICE = tuple(knob for knob in load_knobs() if knob.kind != "hold")


@pytest.fixture(name="tree")
def fixture_tree(tmp_path: Path) -> Tree:
    return Tree(fake_host(tmp_path))


def steps(tree: Tree, profile: str = "bare-metal", knobs=WITHOUT_DEVICE):
    return list(plan(tree, knobs, profile, HOT))


def quiet(_: str) -> None:
    pass


@given(st.sets(st.integers(0, 300)))
def test_lists_and_masks_of_cpus_read_back(cpus):
    assert parse_cpus(format_cpus(cpus)) == cpus
    assert parse_mask(format_mask(cpus)) == cpus


def test_cpus_are_spelt_as_the_kernel_spells_them():
    assert format_cpus({0, 1, 2, 8}) == "0-2,8"
    assert format_mask({0, 32}) == "1,00000001"
    assert format_mask(set()) == "0"


def test_the_first_core_is_never_spared(tree):
    assert online(tree) == set(range(8))
    assert siblings(tree, 5) == {1, 5}
    assert spare(tree) == HOT


def test_a_machine_of_few_cores_spares_none(tree):
    (tree.root / "sys/devices/system/cpu/online").write_text("0-2\n")
    assert spare(tree) == frozenset()


def test_every_knob_says_what_it_is_for():
    for knob in load_knobs():
        assert knob.summary
        assert knob.why.endswith(".")
        assert set(knob.profiles) <= set(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_apply_then_revert_leaves_every_byte_as_it_was(tree, profile):
    before = contents(tree.root)
    changed = apply(tree, steps(tree, profile), quiet)
    assert changed == sum(step.due for step in plan(tree, (), profile, HOT)) + changed > 0
    assert contents(tree.root) != before
    assert not [step for step in steps(tree, profile) if step.due]
    revert(tree, quiet)
    assert contents(tree.root) == before
    assert not tree.at(FILE).exists()


def test_values_name_the_cpus_in_the_file_s_own_format(tree):
    apply(tree, steps(tree), quiet)
    root = tree.root
    assert (root / "proc/irq/24/smp_affinity_list").read_text() == "0,4"
    assert (root / "sys/devices/virtual/workqueue/cpumask").read_text() == "11"
    assert (
        "isolcpus=domain,managed_irq,1-3,5-7 nohz_full=1-3,5-7"
        in (root / "etc/default/grub.d/90-overround.cfg").read_text()
    )
    assert (
        "BANNED_CPULIST=1-3,5-7"
        in (root / "etc/systemd/system/irqbalance.service.d/overround.conf").read_text()
    )


def test_two_profiles_one_after_the_other_are_undone_together(tree):
    before = contents(tree.root)
    apply(tree, steps(tree, "shared-vm"), quiet)
    apply(tree, steps(tree, "bare-metal"), quiet)
    assert apply(tree, steps(tree, "bare-metal"), quiet) == 0
    revert(tree, quiet)
    assert contents(tree.root) == before


def test_without_spare_cpus_what_needs_them_is_left_alone(tree):
    found = {s.knob.name: s for s in plan(tree, WITHOUT_DEVICE, "bare-metal", ())}
    assert found["boot-line"].why_not == "no CPU is set apart"
    assert found["governor"].due


def test_a_knob_that_is_refused_half_way_takes_the_others_with_it(tree):
    stubborn = tree.at("/proc/sys/vm/swappiness")
    stubborn.unlink()
    stubborn.symlink_to("/proc/version")  # readable, and nobody may write it
    before = contents(tree.root)
    with pytest.raises(HostError, match=r"swappiness: /proc/sys/vm/swappiness: .*; all put back"):
        apply(tree, steps(tree), quiet)
    assert contents(tree.root) == before
    assert not tree.at(FILE).exists()


def test_an_interrupt_that_cannot_be_moved_is_named_and_left(tree):
    fixed = tree.at("/proc/irq/27/smp_affinity_list")
    fixed.unlink()
    fixed.symlink_to("/proc/version")
    said: list[str] = []
    apply(tree, steps(tree), said.append)
    assert [line for line in said if "/proc/irq/27/" in line and "stays as it is" in line]
    assert tree.read("/proc/irq/28/smp_affinity_list") == "0,4"
    revert(tree, quiet)


def test_after_a_restart_only_files_on_disk_are_put_back(tree):
    apply(tree, steps(tree), quiet)
    tree.at("/proc/sys/kernel/random/boot_id").write_text("second-boot\n")
    tree.at("/proc/sys/vm/swappiness").write_text("33\n")  # what the new boot set
    revert(tree, quiet)
    assert tree.read("/proc/sys/vm/swappiness") == "33\n"
    assert not tree.at("/etc/default/grub.d/90-overround.cfg").exists()
    assert not tree.at("/etc/systemd/system/irqbalance.service.d").exists()
    assert b"# m\xefne\r\n" in tree.at("/etc/security/limits.d/overround.conf").read_bytes()


def test_what_cannot_be_put_back_is_kept_for_the_next_try(tree):
    apply(tree, steps(tree), quiet)
    path = tree.at("/proc/sys/vm/stat_interval")
    path.unlink()
    path.symlink_to("/proc/version")
    with pytest.raises(HostError, match=r"1 of .* could not be put back"):
        revert(tree, quiet)
    assert [change.knob for change in read_changes(tree)] == ["statistics-interval"]
    path.unlink()
    path.write_text("10")
    revert(tree, quiet)
    assert path.read_text() == "1\n"


def test_a_line_cut_short_is_a_change_that_was_not_begun(tree):
    with Diary(tree) as diary:
        diary.note("swappiness", "file", "/proc/sys/vm/swappiness", "60\n", "1")
        with diary.path.open("a") as file:
            file.write('{"knob": "governor", "kind"')
        diary.note("compaction", "file", "/proc/x", "1\n", "0")
        assert [change.knob for change in diary.changes()] == ["swappiness", "compaction"]


def test_two_at_a_time_are_refused(tree):
    with Diary(tree), pytest.raises(HostError, match="another overround tune"):
        apply(tree, steps(tree), quiet)


def open_files(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it still closes what it need not keep
            found.add(os.readlink(path))
    return found


def test_a_device_is_held_by_a_process_until_revert(tree):
    (knob,) = (knob for knob in load_knobs() if knob.kind == "hold")
    path = knob.paths[0]
    apply(tree, plan(tree, (knob,), "bare-metal", HOT), quiet)
    try:
        (pid,) = holders(tree, path)
        assert tree.at(path).read_bytes() == bytes(4)
        assert str(tree.at(path)) in open_files(pid)
    finally:
        revert(tree, quiet)
    os.waitpid(pid, 0)
    assert holders(tree, path) == []


def test_the_profile_for_tuned_holds_the_same_values():
    text = tuned_profile(load_knobs(), "bare-metal", HOT, {0, 4})
    assert "\nvm.swappiness=1\n" in text
    assert "/sys/devices/virtual/workqueue/cpumask=11\n" in text
    assert "\nforce_latency=0\n" in text
    assert "cmdline_overround=+isolcpus=domain,managed_irq,1-3,5-7 nohz_full=1-3,5-7" in text


def test_changes_are_on_disk_as_one_line_each(tree):
    apply(tree, steps(tree, "laptop"), quiet)
    lines = [json.loads(line) for line in tree.at(FILE).read_text().splitlines()]
    swappiness = next(line for line in lines if line["knob"] == "swappiness")
    assert swappiness == {
        "knob": "swappiness",
        "kind": "file",
        "path": "/proc/sys/vm/swappiness",
        "before": "60\n",
        "wrote": "10",
        "boot": "first-boot",
    }
