"""Rings between two processes: a hop's time, and records a second."""

from __future__ import annotations

from runner import peers
from runner.host import RING_PARTS
from runner.judge import Row, judge
from runner.kit import Kit

BARE_MAX = 1.15
"""A bare ring slower than this against the ping-pong says that the machine is not to be judged."""
CAUSE = (
    "each publish also moves the shared cursor and passes the full fence that lets readers sleep "
    "(a lost wake-up otherwise)"
)


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
        notes = {"bare_ring_to_line": round(held, 3), "bare_ring_ns": hop["bare"].value,
                 "missed": CAUSE}  # fmt: skip
        found = peers.hops(kit) if kit.peers else {}
        rows.append(judge("ring_hop", hop["ours"], hop["line"], peers=found, notes=notes,
                          refusals=refusals))  # fmt: skip
    if "ring_rate" in names:
        rate = kit.series(program, "rate", str(kit.rounds))
        rows.append(judge("ring_rate", rate["ours"], rate["bare"], refusals=refusals,
                          notes={"missed": CAUSE}))  # fmt: skip
    return rows
