"""One checked fact, and the plan it is checked against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from overround.host.tree import Tree

__all__ = ["Check", "Finding", "Scene", "Verdict", "judged"]


class Verdict(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    BETTER = "could be better"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked fact: what was seen, what it means and the one command that changes it."""

    check: str
    value: str
    verdict: Verdict
    why: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """The machine's files, and the CPUs that hot processes are to have to themselves."""

    tree: Tree
    hot: frozenset[int] = frozenset()

    def text(self, name: str) -> str | None:
        """Return a file's text without the spaces around it, None where it is absent."""
        found = self.tree.read(name)
        return None if found is None else found.strip()


Check = Callable[[Scene], Finding]


def judged(check: str, value: str, fine: bool, why: str, change: str = "") -> Finding:
    """Return a finding that is good or could be better."""
    verdict = Verdict.GOOD if fine else Verdict.BETTER
    return Finding(check, value, verdict, why, "" if fine else change)
