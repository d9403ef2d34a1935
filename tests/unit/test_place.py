"""Seats and waiting, chosen from fake machines; the memory calls on the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle.fake_host import fake_host
from overround.errors import HostError
from overround.host.cpus import parse_cpus
from overround.host.place import SEAT_REASONS, WAIT_REASONS, Layout, arrange
from overround.host.topology import Core, Topology, read_topology
from overround.host.tree import Tree
from overround.layout.seat import SeatReason, Wait, WaitReason

PROCESSES = [("ingress-0", "ingress"), ("detector-0", "detector"), ("executor", "executor")]
NAMES = [name for name, _ in PROCESSES]


def machine(cores: int, *, nodes: int = 1, isolated: str = "", threads: int = 1) -> Topology:
    """Cores numbered as Linux does: first threads first, nodes in blocks."""
    kept = parse_cpus(isolated)
    return Topology(
        tuple(
            Core(
                tuple(core + cores * thread for thread in range(threads)),
                core * nodes // cores,
                core in kept,
            )
            for core in range(cores)
        ),
        nodes,
        "eth0",
        nodes - 1,
    )


def cpus(layout: Layout) -> list[int]:
    return [layout.seats[name].cpu for name in NAMES]


def waits(layout: Layout) -> list[Wait]:
    return [layout.seats[name].wait for name in NAMES]


def test_topology_is_read_from_the_tree(tmp_path: Path):
    root = fake_host(tmp_path)
    files = {
        "sys/devices/system/cpu/isolated": "2,6\n",
        "sys/devices/system/node/node0/cpulist": "0-1,4-5\n",
        "sys/devices/system/node/node1/cpulist": "2-3,6-7\n",
        "sys/class/net/eth0/device/numa_node": "1\n",
        "proc/net/route": "Iface\tDestination\nlo\t0000007F\neth0\t00000000\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    topology = read_topology(Tree(root), allowed={0, 1, 3, 4, 5, 7})
    assert [core.cpus for core in topology.cores] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert [core.node for core in topology.cores] == [0, 0, 1, 1]
    assert [core.isolated for core in topology.cores] == [False, False, True, False]
    assert (topology.nodes, topology.card, topology.card_node) == (2, "eth0", 1)
    assert read_topology(Tree(root), {0, 1}, card="wlan0").card_node == -1
    assert read_topology(Tree(root), {0, 5}).cpus == {0, 2, 5, 6}


def test_a_machine_that_says_nothing_is_its_affinity(tmp_path: Path):
    topology = read_topology(Tree(tmp_path), allowed={0, 1})
    assert topology.cpus == {0, 1}
    assert (topology.nodes, topology.card, topology.card_node) == (1, "", -1)


def test_each_process_gets_a_core_and_its_sibling_stays_idle():
    layout = arrange(machine(4, threads=2), PROCESSES)
    assert cpus(layout) == [1, 2, 3]
    assert layout.shared == {0, 4}
    assert {seat.node for seat in layout.seats.values()} == {-1}


def test_cores_come_from_the_node_of_the_network_card():
    layout = arrange(machine(8, nodes=2), PROCESSES)
    assert cpus(layout) == [4, 5, 6]
    assert {seat.seat_reason for seat in layout.seats.values()} == {SeatReason.CARD_NODE}
    assert {seat.node for seat in layout.seats.values()} == {1}


def test_isolated_cores_win_over_the_card_s_node():
    layout = arrange(machine(8, nodes=2, isolated="1-3"), PROCESSES)
    assert cpus(layout) == [1, 2, 3]
    assert waits(layout) == [Wait.SPIN] * 3
    assert layout.shared == {0, 4, 5, 6, 7}


def test_a_node_too_small_for_all_is_not_split_where_another_is_not():
    cores = (*(Core((n,), 0, False) for n in range(2)), *(Core((n,), 1, False) for n in (2, 3, 4)))
    assert cpus(arrange(Topology(cores, 2, "eth0", 0), PROCESSES)) == [2, 3, 4]


def test_whoever_finds_no_core_stays_with_the_kernel():
    many = [*PROCESSES, ("detector-1", "detector")]
    seat = arrange(machine(4), many).seats["detector-1"]
    assert (seat.cpu, seat.seat_reason) == (-1, SeatReason.NO_CORE_LEFT)


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_below_four_cores_nobody_is_pinned(cores: int):
    layout = arrange(machine(cores), PROCESSES)
    assert cpus(layout) == [-1, -1, -1]
    assert not layout.shared
    assert layout.seats["executor"].seat_reason is SeatReason.FEW_CORES


def test_pinning_can_be_switched_off():
    layout = arrange(machine(8), PROCESSES, pin=False)
    assert cpus(layout) == [-1, -1, -1]
    assert layout.seats["executor"].seat_reason is SeatReason.OFF


def test_named_cpus_overrule_and_repeat():
    layout = arrange(machine(8), PROCESSES, cpus=[6, 7])
    assert cpus(layout) == [6, 7, 6]
    assert layout.shared == set(range(6))
    assert cpus(arrange(machine(2), PROCESSES, cpus=[0, 1])) == [0, 1, 0]


def test_the_ring_s_own_core_goes_to_nobody_else():
    layout = arrange(machine(6, threads=2), PROCESSES, ring=frozenset({2}))
    assert cpus(layout) == [1, 3, 4]
    assert layout.hot == {1, 2, 3, 4}
    assert layout.shared == {0, 6, 5, 11}  # 8 shares the core of 2
    few = arrange(machine(2), PROCESSES, ring=frozenset({1}))
    assert (cpus(few), few.shared, few.hot) == ([-1, -1, -1], frozenset(), {1})


def test_one_cpu_is_not_named_for_the_ring_and_another_process():
    beside = arrange(machine(4), PROCESSES, cpus=[1, 2, 3], ring=frozenset({1}))
    assert beside.ring == {1}  # the ingress's own
    with pytest.raises(HostError, match=r"CPU 2 is detector-0's by cpu.cpus"):
        arrange(machine(4), PROCESSES, cpus=[1, 2, 3], ring=frozenset({2}))
    with pytest.raises(HostError, match=r"cpu.native_cpus names CPU 9"):
        arrange(machine(4), PROCESSES, ring=frozenset({9}))


def test_a_cpu_that_may_not_be_used_is_named():
    with pytest.raises(HostError, match=r"cpu\.cpus names CPU 9.*allowed: 0-3"):
        arrange(machine(4), PROCESSES, cpus=[9])


@pytest.mark.parametrize("asked", ["auto", "spin", "adaptive"])
@pytest.mark.parametrize("named", [(), (0, 1), (0,)])
def test_two_cores_never_get_more_than_two_spinners_and_none_for_ever(
    asked: str, named: tuple[int, ...]
):
    layout = arrange(
        machine(2, isolated="1"), [*PROCESSES, ("detector-1", "detector")],
        cpus=named, wait=asked, spin=frozenset({"ingress-0"}),
    )  # fmt: skip
    found = [seat.wait for seat in layout.seats.values()]
    assert Wait.SPIN not in found
    assert sum(wait is not Wait.SLEEP for wait in found) <= 2
    assert all(seat.wait_reason for seat in layout.seats.values())


def test_on_three_cores_none_spins_for_ever():
    assert Wait.SPIN not in waits(arrange(machine(3), PROCESSES, wait="spin"))


def test_one_core_sleeps():
    layout = arrange(machine(1), PROCESSES, wait="spin")
    assert waits(layout) == [Wait.SLEEP] * 3
    assert layout.seats["detector-0"].wait_reason is WaitReason.ONE_CORE


def test_shared_cores_are_waited_on_adaptively_isolated_ones_by_spinning():
    assert waits(arrange(machine(8), PROCESSES)) == [Wait.SLEEP, Wait.ADAPTIVE, Wait.SLEEP]
    by_partition = arrange(machine(8), PROCESSES, isolated=frozenset({1, 2, 3}))
    assert waits(by_partition) == [Wait.SPIN] * 3


def test_one_core_is_left_to_those_who_do_not_spin():
    many = [*PROCESSES, ("detector-1", "detector")]
    layout = arrange(machine(4, isolated="0-3"), many, wait="spin")
    sleepers = [seat for seat in layout.seats.values() if seat.wait is Wait.SLEEP]
    assert [seat.name for seat in sleepers] == ["ingress-0"]
    assert sleepers[0].wait_reason is WaitReason.CORES_TAKEN


def test_sleep_is_sleep_everywhere():
    layout = arrange(machine(8, isolated="1-3"), PROCESSES, wait="sleep")
    assert waits(layout) == [Wait.SLEEP] * 3


def test_a_process_s_own_wish_to_spin_is_heard_where_there_is_room():
    layout = arrange(machine(8), PROCESSES, spin=frozenset({"ingress-0"}))
    assert waits(layout)[0] is Wait.SPIN


def test_every_reason_has_words():
    assert set(SEAT_REASONS) == set(SeatReason)
    assert set(WAIT_REASONS) == set(WaitReason)
