"""What a campaign is to do, and what it says came of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from oracle.order_campaign_faults import ON_PATH

__all__ = ["Plan", "Report"]


@dataclass(frozen=True)
class Plan:
    """What a campaign does."""

    orders: int = 2_000
    seed: int = 1
    folder: Path = Path("campaign")
    sabotage: str = ""
    kills: bool = True
    switches: tuple[str, ...] = ON_PATH
    """The faults that are dealt."""
    database_url: str = ""
    """PostgreSQL's, else the ledger is in SQLite's file in the folder."""


@dataclass
class Report:
    """What came of it; every count is of this campaign."""

    seed: int
    sabotage: str
    address: str = ""
    """Whose journal it is, for whoever recomputes this from the files."""
    orders: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    sent_twice: int = 0
    unaccounted: int = 0
    sent_without_journal: int = 0
    ledger_difference_micro: int = 0
    killed: dict[str, int] = field(default_factory=dict)
    crashes: int = 0
    permits: int = 0
    """Orders that a permit let out in one native call."""
    intents: int = 0
    accepted: int = 0
    fills: int = 0
    failed: int = 0
    rebates_micro: int = 0
    """Paid to all members at the end."""
    forms: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        wrong = self.sent_twice or self.unaccounted or self.sent_without_journal or self.crashes
        return not (wrong or self.ledger_difference_micro or self.complaints)

    def line(self) -> str:
        """The report as JSON."""
        return json.dumps({**asdict(self), "clean": self.clean})

    def summary(self) -> str:
        """The report for people."""
        found = (
            f"sent twice {self.sent_twice}, unaccounted {self.unaccounted}, sent without journal "
            f"{self.sent_without_journal}, ledger difference {self.ledger_difference_micro} micro"
        )
        lines = [
            f"seed {self.seed}: {self.orders} orders, {self.fills} fills ({self.failed} failed), "
            f"{self.kills} kills, {len(self.faults)} kinds of fault, {self.seconds} s",
            f"{found}, {self.crashes} crashes",
            *self.complaints,
            "clean" if self.clean else "NOT CLEAN",
        ]
        return "\n".join(lines)
