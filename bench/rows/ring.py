"""Rings between two processes: a hop's time, and records a second."""

from __future__ import annotations

from runner import peers
from runner.host import RING_PARTS
from runner.judge import Row, Series, judge
from runner.kit import Kit

BARE_MAX = 1.15
"""A bare ring slower than this against the ping-pong says that the machine is not to be judged."""
STEP_ROUNDS = 20
SPARED = "both ends spin; once a reader has slept each record costs a full fence more (about 10 ns)"


def _span(series: Series) -> str:
    return f"{min(series.p50):.0f} to {max(series.p50):.0f}"


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return ``ring_hop`` and ``ring_rate``."""
    program = kit.compile("hop", "hop.c", parts=RING_PARTS)
    refusals = kit.two_cpus()
    hop = kit.series(program, "hop", str(kit.rounds))
    bare = [a / b for a, b in zip(hop["bare"].p50, hop["line"].p50, strict=True)]
    held = sorted(bare)[len(bare) // 2]
    if held > BARE_MAX:
        refusals.append(
            f"the bare C ring takes {held:.2f} of a ping-pong; its floor must hold {BARE_MAX}"
        )
    rows = []
    if "ring_hop" in names:
        step, eager = (
            kit.series(program, way, str(min(kit.rounds, STEP_ROUNDS))) for way in ("step", "eager")
        )
        notes = {"bare_ring_to_line": round(held, 3), "bare_ring_ns": hop["bare"].value,
                 "in_step_line_ns": _span(step["line"]), "in_step_ours_ns": _span(step["ours"]),
                 "without_pause_line_ns": _span(eager["line"]),
                 "without_pause_ours_ns": _span(eager["ours"]),
                 "measured": SPARED}  # fmt: skip
        found = peers.hops(kit) if kit.peers else {}
        rows.append(judge("ring_hop", hop["ours"], hop["line"], peers=found, notes=notes,
                          refusals=refusals))  # fmt: skip
    if "ring_rate" in names:
        rate = kit.series(program, "rate", str(kit.rounds))
        rows.append(judge("ring_rate", rate["ours"], rate["bare"], refusals=refusals,
                          notes={"measured": SPARED}))  # fmt: skip
    return rows
