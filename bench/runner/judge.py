"""From paired rounds to a verdict, or to the reason why there is none.

Floor and subject are measured in turn, round by round. A round's ratio is the subject's figure
over the floor's of the same round; the row's ratio is the median over all rounds. The rounds are
also cut into blocks: if the blocks' medians disagree by more than ``SPREAD_MAX``, or about the
verdict itself, the machine was too noisy and the row is not judged. Only where every block is on
the same side of the target by a factor of ``DECISIVE`` does a wide spread not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from runner.table import TABLE

__all__ = ["BLOCKS", "KEYS", "SPREAD_MAX", "Row", "Series", "chunks", "judge", "unmeasured"]

BLOCKS = 5
ROUNDS_MIN = 2 * BLOCKS
SPREAD_MAX = 0.25
"""Largest difference between the blocks' medians, relative to the row's ratio."""
DECISIVE = 2.0
"""So many times better or worse than the target is a verdict whatever the spread."""


@dataclass(slots=True)
class Series:
    """One contender's figures, a round each."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The middle round."""
        return median(self.p50)


@dataclass(slots=True)
class Row:
    """One line of the result; ``KEYS`` are what its JSON holds, the rest is for the report."""

    id: str
    sense: str
    ratio: float | None
    target: float | None
    ok: bool | None
    judged: bool
    why: str
    subject: float | None
    floor: float | None
    peers: dict[str, float]
    unit: str
    p99_ratio: float | None
    spread: float | None = None
    ratio_best: float | None = None
    """Ratio of each side's least disturbed round."""
    rounds: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    histograms: dict[str, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the row as readers of the JSON know it: these keys and no other."""
        return {key: getattr(self, key) for key in KEYS}

    def full(self) -> dict[str, Any]:
        """Return all of it: a report can be made of that again."""
        return asdict(self)


KEYS = (
    "id", "sense", "ratio", "target", "ok", "judged", "why", "subject", "floor", "peers", "unit",
    "p99_ratio",
)  # fmt: skip


def unmeasured(id_: str, why: str, **more: Any) -> Row:
    """Return the row of something that cannot be measured here."""
    row = TABLE[id_]
    empty: dict[str, Any] = {
        "ratio": None, "ok": None, "subject": None, "floor": None, "peers": {}, "p99_ratio": None,
    }  # fmt: skip
    return Row(
        id=id_, sense=row.sense, target=row.target, judged=False, why=why, unit=row.unit,
        **(empty | more),
    )  # fmt: skip


def chunks(values: Sequence[float], rounds: int) -> Series:
    """Return single measurements as rounds of p50 and p99, in their order."""
    size = max(1, len(values) // rounds)
    parts = [sorted(values[at : at + size]) for at in range(0, size * rounds, size)]
    parts = [part for part in parts if part]
    return Series(
        [median(part) for part in parts], [part[len(part) * 99 // 100] for part in parts]
    )  # fmt: skip


def blocks_of(values: Sequence[float]) -> list[float]:
    """Return the medians of consecutive parts, ``BLOCKS`` of them."""
    edges = [len(values) * block // BLOCKS for block in range(BLOCKS + 1)]
    return [median(values[first:last]) for first, last in pairwise(edges)]


def judge(
    id_: str,
    subject: Series,
    floor: Series,
    *,
    scale: float = 1.0,
    peers: dict[str, float] | None = None,
    refusals: Sequence[str] = (),
    notes: dict[str, Any] | None = None,
) -> Row:
    """Return the row. ``scale`` turns the series' unit into the table's.

    ``refusals`` are reasons why this run must not be judged, found by whoever measured. A ratio
    always is subject over floor, so for rates ``higher`` is better.
    """
    wanted = TABLE[id_]
    ratios = [a / b for a, b in zip(subject.p50, floor.p50, strict=True)]
    tails = [a / b for a, b in zip(subject.p99, floor.p99, strict=False) if b > 0]
    ratio = median(ratios)
    best = min if wanted.unit not in ("M/s", "k/s") else max
    row = Row(
        id=id_, sense=wanted.sense, ratio=ratio, target=wanted.target, ok=None, judged=False,
        why="", subject=subject.value * scale, floor=floor.value * scale, peers=peers or {},
        unit=wanted.unit, p99_ratio=median(tails) if tails else None,
        ratio_best=best(subject.p50) / best(floor.p50), rounds=len(ratios), notes=notes or {},
        histograms={
            "subject": sorted(value * scale for value in subject.p50),
            "floor": sorted(value * scale for value in floor.p50),
        },
    )  # fmt: skip
    if len(ratios) < ROUNDS_MIN:
        row.why = (
            "reported only: no target" if wanted.target is None
            else f"only {len(ratios)} rounds; {ROUNDS_MIN} are needed"
        )  # fmt: skip
        return row
    parts = blocks_of(ratios)
    row.spread = (max(parts) - min(parts)) / ratio
    return _decide(row, parts, list(refusals))


def _passes(sense: str, ratio: float, target: float) -> bool:
    return ratio <= target if sense == "lower" else ratio >= target


def _decide(row: Row, parts: list[float], refusals: list[str]) -> Row:
    assert row.ratio is not None
    assert row.spread is not None
    if row.target is None:
        row.why = "; ".join([*refusals, "reported only: no target"])
        return row
    passed = _passes(row.sense, row.ratio, row.target)
    nearest = min(max(part / row.target, row.target / part) for part in parts)
    agreed = all(_passes(row.sense, part, row.target) == passed for part in parts)
    if row.spread > SPREAD_MAX and not (agreed and nearest >= DECISIVE):
        refusals.append(
            f"noisy: the medians of {BLOCKS} parts of the run differ by {row.spread:.0%} "
            f"(limit {SPREAD_MAX:.0%})"
        )
    elif not agreed:
        refusals.append(
            f"too close: parts of the run say {min(parts):.2f} to {max(parts):.2f}, "
            f"the target {row.target:g} lies between"
        )
    if refusals:
        row.why = "; ".join(refusals)
        return row
    row.judged, row.ok = True, passed
    if not passed:
        off = row.ratio / row.target if row.sense == "lower" else row.target / row.ratio
        row.why = f"missed by {off - 1:.0%}"
        explained = row.notes.get("missed")
        if explained:
            row.why += f": {explained}"
    return row
