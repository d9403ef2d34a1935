"""All checks in a fixed order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from overround.clock import NS_PER_US
from overround.errors import HostError
from overround.host.check import cpu, memory, software
from overround.host.check.finding import Finding, Scene, Verdict, judged
from overround.host.cpus import spare
from overround.host.jitter import measure
from overround.host.tree import Tree
from overround.host.tune.knob import load_knobs
from overround.host.tune.plan import plan

__all__ = ["jitter", "run_checks"]

LOST_MAX_PPM: Final = 1_000
"""A tenth of a percent of the spin, lost in gaps above 10 us."""


def run_checks(tree: Tree | None = None, hot: Collection[int] | None = None) -> Iterator[Finding]:
    """Yield a finding for every check of the machine.

    ``hot`` are the CPUs meant for hot processes; by default those that ``tune`` would keep.
    """
    tree = tree or Tree()
    scene = Scene(tree, frozenset(spare(tree) if hot is None else hot))
    for check in (*software.CHECKS, *cpu.CHECKS, *memory.CHECKS):
        yield check(scene)
    yield from _knobs(scene)


def _knobs(scene: Scene) -> Iterator[Finding]:
    """Yield a finding for each knob that is there, against the profile for this machine."""
    guest = "virtual" in cpu.CHECKS[0](scene).value
    profile = "shared-vm" if guest else "bare-metal"
    found: dict[str, list[tuple[str, bool]]] = {}
    knobs = {knob.name: knob for knob in load_knobs()}
    for step in plan(scene.tree, knobs.values(), profile, scene.hot):
        if step.now is not None:
            value = " ".join(step.now.split()) or "empty"
            found.setdefault(step.knob.name, []).append((value, not step.due))
    for name, files in found.items():
        values = list(dict.fromkeys(value for value, _ in files))
        shown = values[0] + (f" and {len(values) - 1} others" if len(values) > 1 else "")
        yield judged(
            f"knob {name}", shown, all(fine for _, fine in files), knobs[name].why,
            f"overround tune apply --profile {profile}",
        )  # fmt: skip


def jitter(cpus: Collection[int]) -> Iterator[Finding]:
    """Spin one second on each CPU and yield what it lost."""
    for number in sorted(cpus):
        try:
            seen = measure(number)
        except HostError as error:
            why = "a CPU that cannot be had cannot be measured"
            yield Finding(f"jitter of CPU {number}", str(error), Verdict.BETTER, why)
            continue
        lost_ppm = seen.lost_ns * 1_000_000 // seen.spin_ns
        yield judged(
            f"jitter of CPU {number}",
            f"longest gap {seen.longest_ns // NS_PER_US} us, {seen.gaps} above 10 us,"
            f" {lost_ppm / 10_000:.2f} % lost, {seen.timer_interrupts} timer interrupts,"
            f" {seen.switches} switches",
            lost_ppm <= LOST_MAX_PPM,
            "measured: what a process that spins there loses to others in one second",
            "overround tune check --measure",
        )  # fmt: skip
