"""One demo against an exchange that misbehaves by a seed, and what an audit says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle.audit import Audit, audit

END_TIMEOUT_S = 120


@dataclass
class ChaosRun:
    """The report of a demo, its audit, and how often each switch was turned."""

    report: dict[str, Any]
    audit: Audit
    turns: Counter[str]

    def complaints(self) -> list[str]:
        """What does not fit, in words; empty if the report tells what the exchange wrote down."""
        report, found = self.report, self.audit
        restarts = {name: row["restarts"] for name, row in report["processes"].items()}
        checks = {
            f"audit: {found}": found.clean,
            f"accepted {found.accepted}, report {report['orders_accepted']}": found.accepted
            == report["orders_accepted"],
            f"fills {found.fills}, report {report['fills']}": found.fills == report["fills"],
            f"settled {report['settled']} and failed {report['failed']} of {found.fills}":
            report["settled"] + report["failed"] == found.fills,
            f"restarts {restarts}": not any(restarts.values()),
        }  # fmt: skip
        return [text for text, fits in checks.items() if not fits]


def chaos_run(seed: int, seconds: float, folder: Path) -> ChaosRun:
    """Run a demo of some seconds into a new folder. AssertionError if it does not end well."""
    done = subprocess.run(
        [sys.executable, "-m", "overround.cli.main", "demo", "--json", "--seconds", str(seconds),
         "--chaos", str(seed), "--keep", str(folder)],
        capture_output=True,
        text=True,
        timeout=END_TIMEOUT_S + seconds,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (folder / "exchange.jsonl").read_text().splitlines()]
    account = next(line["account"] for line in log if line["event"] == "deposit")
    (journal,) = folder.glob("*/journal")
    turns = Counter(line["name"] for line in log if line["event"] == "fault")
    return ChaosRun(json.loads(done.stdout), audit(journal, log, account), turns)
