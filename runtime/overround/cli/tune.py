"""``overround tune``: the host's knobs, seen, turned and turned back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overround.cli.output import format_ns, print_json

if TYPE_CHECKING:
    from collections.abc import Collection

    from overround.host.jitter import Jitter
    from overround.host.tree import Tree
    from overround.host.tune.plan import Step

SHOWN_MAX = 36


class Action(StrEnum):
    """What to do."""

    CHECK = "check"
    APPLY = "apply"
    REVERT = "revert"
    TUNED = "tuned"


class Profile(StrEnum):
    """What kind of machine it is."""

    LAPTOP = "laptop"
    SHARED_VM = "shared-vm"
    BARE_METAL = "bare-metal"


def tune(
    action: Annotated[
        Action,
        typer.Argument(
            help="check shows, apply changes, revert puts back, tuned prints a profile for tuned."
        ),
    ],
    profile: Annotated[
        Profile, typer.Option(help="What kind of machine this is.")
    ] = Profile.SHARED_VM,
    cpus: Annotated[
        str | None,
        typer.Option(help="CPUs to keep for hot processes, such as 2-5. Default: all but the"
                     " first core, on four cores or more."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what apply or revert would do; change nothing.")
    ] = False,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Spin one second on each hot CPU, before and after."),
    ] = False,
    root: Annotated[
        Path, typer.Option(help="Root of the files: another one tunes an image, not this machine.")
    ] = Path("/"),
    json: Annotated[bool, typer.Option("--json", help="The knobs as JSON on stdout.")] = False,
) -> None:  # fmt: skip
    """Turn the host's knobs for low latency, reversibly.

    Each change is on disk before it is made (/var/lib/overround/tune.jsonl): revert undoes all
    of them, also after a crash, a kill or a restart. Exit status 1 if a knob was refused; then
    everything that this call changed was put back.
    """
    from overround.host.cpus import online
    from overround.host.tune.apply import apply, revert
    from overround.host.tune.diary import read_changes
    from overround.host.tune.knob import load_knobs
    from overround.host.tune.plan import plan
    from overround.host.tune.tuned import tuned_profile

    tree, knobs = _tree(root), load_knobs()
    if action is Action.REVERT:
        if dry_run:
            for change in reversed(read_changes(tree)):
                print(f"{change.knob}: {change.path} would go back to {change.before!r}")
        else:
            print(f"put back {revert(tree, print)} files")
        return
    hot = _hot(tree, cpus)
    if action is Action.TUNED:
        print(tuned_profile(knobs, profile, hot, online(tree) - set(hot)), end="")
        return
    steps = list(plan(tree, knobs, profile, hot))
    before = _jitter(tree, hot) if measure else []
    if action is Action.APPLY and not dry_run:
        changed = apply(tree, steps, print)
        print(f"changed {changed} files; overround tune revert puts them back")
        for text in dict.fromkeys(step.knob.then for step in steps if step.due and step.knob.then):
            print(f"to take effect: {text}")
        _print_jitter("before", before)
        _print_jitter("after", _jitter(tree, hot) if measure else [])
    elif json:
        print_json({"profile": profile, "hot_cpus": sorted(hot), "knobs": _rows(steps),
                    "applied": len(read_changes(tree))})  # fmt: skip
    else:
        _print(steps, hot, profile)
        _print_jitter("now", before)


def _tree(root: Path) -> Tree:
    from overround.errors import ConfigError
    from overround.host.tree import Tree

    if not root.is_dir():
        raise ConfigError(f"--root {root} is no folder: name the root of a machine's files")
    return Tree(root)


def _hot(tree: Tree, cpus: str | None) -> Collection[int]:
    from overround.errors import ConfigError
    from overround.host.cpus import format_cpus, online, parse_cpus, spare

    if cpus is None:
        return spare(tree)
    try:
        wanted = parse_cpus(cpus)
    except ValueError:
        raise ConfigError(f"--cpus {cpus!r} is no list of CPUs such as 2-5,8") from None
    there = online(tree)
    if not wanted <= there:
        raise ConfigError(f"--cpus {cpus}: online here are {format_cpus(there)}")
    if wanted == there:
        raise ConfigError(f"--cpus {cpus} leaves no CPU for everything else")
    return wanted


def _verdict(step: Step) -> str:
    if step.why_not:
        return step.why_not
    return "as wanted" if step.done else "to change"


def _rows(steps: Collection[Step]) -> list[dict[str, str | None]]:
    return [
        {
            "knob": step.knob.name,
            "path": step.path,
            "now": step.now,
            "wanted": step.wanted,
            "verdict": _verdict(step),
            "why": step.knob.why,
        }
        for step in steps
    ]


def _print(steps: Collection[Step], hot: Collection[int], profile: str) -> None:
    from overround.host.cpus import format_cpus

    print(f"profile {profile}, hot CPUs: {format_cpus(hot) or 'none (fewer than four cores)'}")
    for name in dict.fromkeys(step.knob.name for step in steps):
        mine = [step for step in steps if step.knob.name == name]
        for verdict in dict.fromkeys(_verdict(step) for step in mine):
            alike = [step for step in mine if _verdict(step) == verdict]
            first = alike[0]
            more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
            print(f"{verdict:<24} {name:<24} {first.path}{more}")
            if first.due:
                print(f"{'':<25}{_short(first.now)} -> {_short(first.wanted)}: {first.knob.why}")


def _short(text: str | None) -> str:
    if text is None:
        return "absent"
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 3] + "..."


def _jitter(tree: Tree, hot: Collection[int]) -> list[Jitter]:
    from overround.host.cpus import online
    from overround.host.jitter import measure

    return [measure(cpu) for cpu in sorted(hot or online(tree))]


def _print_jitter(when: str, found: list[Jitter]) -> None:
    for one in found:
        print(
            f"jitter {when}: CPU {one.cpu}: longest {format_ns(one.longest_ns)},"
            f" {one.gaps} gaps above 10 us, {one.lost_ns * 100 / one.spin_ns:.2f} % lost,"
            f" {one.timer_interrupts} timer interrupts, {one.switches} switches"
        )
