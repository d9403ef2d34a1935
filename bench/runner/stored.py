"""Runs on disk: every run is kept whole, and several can be told as one."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any

from runner.judge import Row
from runner.kit import BUILD

__all__ = ["load", "merged", "store"]

Run = tuple[dict[str, Any], list[Row]]


def store(host: dict[str, Any], rows: list[Row]) -> Path:
    """Write a run with everything that a report needs; return its file."""
    folder = BUILD / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{str(host['date']).replace(':', '')}.json"
    result = {"host": host, "rows": [row.full() for row in rows]}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Run:
    """Read a stored run."""
    found = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Row)}
    rows = [Row(**{k: v for k, v in row.items() if k in known}) for row in found["rows"]]
    return found["host"], rows


def merged(runs: list[Run]) -> Run:
    """Return one row an id: that of the run with the middle ratio, with the others' ratios.

    A verdict stands only if no run that was judged says otherwise.
    """
    ids = list(dict.fromkeys(row.id for _, rows in runs for row in rows))
    return runs[-1][0], [_one([r for _, rows in runs for r in rows if r.id == id_]) for id_ in ids]


def _one(rows: list[Row]) -> Row:
    rated = sorted((row for row in rows if row.ratio is not None), key=lambda row: row.ratio or 0)
    judged = [row for row in rated if row.judged]
    pool = judged if len(judged) * 2 > len(rows) else rated
    if not pool:
        return rows[-1]
    chosen = pool[(len(pool) - 1) // 2]
    if len(rated) > 1:
        ratios = [row.ratio or 0.0 for row in rated]
        apart = (ratios[-1] - ratios[0]) / median(ratios)
        chosen.notes[f"ratios of {len(rated)} runs"] = (
            ", ".join(f"{ratio:.3g}" for ratio in ratios)
            + f" ({apart:.0%} apart; judged in {len(judged)} of {len(rows)})"
        )
    if chosen.judged and len({row.ok for row in judged}) > 1:
        chosen.judged, chosen.ok = False, None
        chosen.why = "runs disagree about the verdict"
    return chosen
