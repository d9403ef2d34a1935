"""The bot under an exchange that misbehaves at random: the report agrees with the log.

``scripts/chaos`` is the long form: more seeds, more seconds.
"""

from __future__ import annotations

from pathlib import Path

from oracle.chaos_run import chaos_run

SECONDS = 5
SEED = 24


def test_demo_under_chaos_reports_what_the_exchange_wrote_down(tmp_path: Path) -> None:
    run = chaos_run(SEED, SECONDS, tmp_path / "kept")
    assert run.complaints() == []
    assert run.audit.intents > 0
    assert run.turns.total() >= 3
    run.report["fills"] += 1  # a check that never complains proves nothing
    assert len(run.complaints()) == 1
