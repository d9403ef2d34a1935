"""A profile beside the machine: what each knob shows, and what it would be set to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from overround.host.cpus import online
from overround.host.tree import Tree
from overround.host.tune import coalescing
from overround.host.tune.hold import holders
from overround.host.tune.knob import Knob

__all__ = ["Step", "look", "plan", "show"]

HELD = "held"
FREE = "free"


@dataclass(frozen=True, slots=True)
class Step:
    """One file of one knob. ``now`` is None where it is absent, ``wanted`` where it is left."""

    knob: Knob
    path: str
    now: str | None
    wanted: str | None
    why_not: str = ""
    """Why nothing is wanted or possible here."""

    @property
    def done(self) -> bool:
        """Whether the machine has it as wanted."""
        return self.now is not None and self.wanted is not None and self._same()

    @property
    def due(self) -> bool:
        """Whether apply would change it."""
        return not self.why_not and not self.done

    def _same(self) -> bool:
        assert self.now is not None
        assert self.wanted is not None
        if self.knob.kind == "hold":
            return self.now == HELD
        return self.knob.same(self.now, self.wanted)


def show(tree: Tree, knob: Knob, path: str) -> str | None:
    """Return what is there now: a file's text, what a card says, whether a device is held."""
    if knob.kind == "hold":
        return HELD if holders(tree, path) else FREE
    if knob.kind == "ethtool":
        return coalescing.read(path.split("/")[4])
    return tree.read(path)


def look(tree: Tree, knob: Knob) -> list[str]:
    """Return the knob's files on this machine; a drop-in's even where it is not there yet."""
    if knob.requires and not tree.at(knob.requires).exists():
        return []
    if knob.kind == "dropin":
        return list(knob.paths)
    if knob.kind == "ethtool" and not (tree.is_machine and coalescing.installed()):
        return []
    return [path for pattern in knob.paths for path in tree.glob(pattern)]


def plan(tree: Tree, knobs: Collection[Knob], profile: str, hot: Collection[int]) -> Iterator[Step]:
    """Yield a step for every file of every knob, and one for a knob that has none here."""
    rest = online(tree) - set(hot)
    for knob in knobs:
        wanted = knob.wanted(profile, hot, rest)
        why_not = ""
        if wanted is None:
            idle = knob.profiles.get(profile) is not None
            why_not = "no CPU is set apart" if idle else f"left alone by {profile}"
        paths = look(tree, knob)
        if not paths:
            yield Step(knob, knob.paths[0], None, wanted, why_not or "absent on this machine")
        for path in paths:
            now = show(tree, knob, path)
            absent = now is None and knob.kind not in ("dropin",)
            yield Step(knob, path, now, wanted, why_not or ("cannot be read" if absent else ""))
