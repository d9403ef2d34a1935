"""The regions of one instance: created before any process starts, unlinked after the last.

Segments are created here with their final geometry; each owner takes the lease of its own
and takes it over. That is the same path for a first start and for a restart after a crash,
so the path that matters most is the one that always runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from overround.config.schema import Settings
from overround.layout.region import RegionKind
from overround.shm.kill import KillLatch
from overround.shm.meters import MetersView
from overround.shm.names import segment_name
from overround.shm.roster import Roster
from overround.shm.segment import Segment
from overround.shm.slots import Slots

ROSTER_ROWS = 128
"""Regions and processes of one instance; a full house of today needs about 20."""

OUTCOMES = 2
MODE_NUMBERS = {"sim": 1, "shadow": 2, "live": 3}


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """A process to run: its name in the roster and its role."""

    name: str
    role: str


PLAN = (
    ProcessPlan("ingress-0", "ingress"),
    ProcessPlan("detector-0", "detector"),
    ProcessPlan("executor", "executor"),
)
"""The processes of a standard instance, in starting order."""

_WRITERS = {
    "board": "ingress-0",
    "changes": "ingress-0",
    "trades": "ingress-0",
    "account": "executor",
    "reports": "executor",
}


class Instance:
    """All shared regions of one run, owned by the supervisor."""

    def __init__(
        self,
        settings: Settings,
        plan: tuple[ProcessPlan, ...] = PLAN,
        nodes: Mapping[str, int] | None = None,
    ) -> None:
        """``nodes`` gives the memory node of processes; a region lies on that of its writer."""
        self._nodes = nodes or {}
        self.settings = settings
        self.run_id = secrets.randbits(32)
        self._mode = MODE_NUMBERS[settings.mode]
        self._segments: dict[str, Segment] = {}
        self.roster = Roster(self._create("roster", RegionKind.ROSTER, ROSTER_ROWS, owned=True))
        try:
            self._create_regions(plan)
        except BaseException:
            self.unlink()
            raise

    def _create_regions(self, plan: tuple[ProcessPlan, ...]) -> None:
        capacity = self.settings.capacity
        markets = capacity.markets
        self.catalog = Slots(self._add("catalog", RegionKind.CATALOG, markets, owned=True))
        self.kill = KillLatch(self._add("kill", RegionKind.KILL, 0, owned=True))
        self._add("board-0", RegionKind.BOARD, markets)
        self._add("changes-0", RegionKind.CHANGES, capacity.changes_records)
        self._add("trades-0", RegionKind.TRADES, capacity.trades_records)
        self._add("account-0", RegionKind.ACCOUNT, 1 + OUTCOMES * markets)
        self._add("reports-0", RegionKind.REPORTS, capacity.reports_records)
        self._add("meters-refusals", RegionKind.METERS, 1)
        self._add_process("supervisor", "supervisor")
        for process in plan:
            if process.role == "detector":
                key = f"intents-{process.name}"
                self._add(key, RegionKind.INTENTS, capacity.intents_records)
                self._add(f"targets-{process.name}", RegionKind.TARGETS, markets)
            self._add_process(process.name, process.role)

    def meters(self, process: str) -> MetersView:
        """Return the counters and histograms of one process."""
        return MetersView(self._segments[f"meters-{process}"])

    def segment(self, key: str) -> Segment:
        """Return a region by its key, such as ``board-0``."""
        return self._segments[key]

    def beat(self, now_ns: int) -> None:
        """Keep the supervisor's own regions usable."""
        for key in ("roster", "catalog", "kill"):
            self._segments[key].beat(now_ns)

    def unlink(self) -> None:
        """Remove every segment; processes that still map one keep their mapping."""
        for segment in self._segments.values():
            segment.unlink()
            segment.close()
        self._segments.clear()

    def _add_process(self, name: str, role: str) -> None:
        self._add(f"meters-{name}", RegionKind.METERS, 1)
        self.roster.add_process(name, role)

    def _node(self, key: str) -> int:
        """Return the memory node of a region's writer, -1 where there is no reason to choose."""
        kind, _, rest = key.partition("-")
        writer = rest if kind in ("meters", "intents", "targets") else _WRITERS.get(kind, "")
        return self._nodes.get(writer, -1)

    def _add(self, key: str, kind: RegionKind, capacity: int, *, owned: bool = False) -> Segment:
        segment = self._create(key, kind, capacity, owned=owned)
        self.roster.add_region(key, segment.name, self._node(key))
        return segment

    def _create(self, key: str, kind: RegionKind, capacity: int, *, owned: bool) -> Segment:
        segment = Segment.create(
            segment_name(self.settings.instance, self.run_id, key),
            kind,
            capacity=capacity,
            run_id=self.run_id,
            mode=self._mode,
            lease=owned,
            node=self._node(key),
        )
        self._segments[key] = segment
        if owned:
            segment.take_over()
        return segment
