"""scripts/bench: measure rows, print a table, write JSON and the report.

    scripts/bench                     every row, peers included
    scripts/bench ring_hop ring_rate  these rows
    scripts/bench --list              what there is
    scripts/bench --report            writes docs/reference/performance.md and an HTML page as well
    scripts/bench --report --of A B C the pages from stored runs (build/bench/results), a row each
                                      by the run with the middle ratio

Exit status: 0 whatever the figures say (scripts/latency-gate judges), 2 for a wrong name.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import host, peers, report, stored
from runner.judge import Row, unmeasured
from runner.kit import CannotMeasure, Kit
from runner.table import TABLE

__all__ = ["main", "measure"]


def say(text: str) -> None:
    """Write a line for whoever watches; results go to stdout and files."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return a row for each name, in the table's order; what cannot be measured says why."""
    from rows import REGISTRY  # imports Numba and compiles: only once there is something to do

    rows: dict[str, Row] = {}
    groups: dict[Callable[..., list[Row]], list[str]] = {}
    for name in names:
        groups.setdefault(REGISTRY[name], []).append(name)
    for function, ids in groups.items():
        begun = time.monotonic()
        try:
            found = function(kit, ids)
        except CannotMeasure as error:
            found = [unmeasured(name, str(error)) for name in ids]
        rows.update({row.id: row for row in found})
        say(f"{', '.join(ids)}: {time.monotonic() - begun:.0f} s")
    return [rows[name] for name in TABLE if name in rows]


def options_of(arguments: list[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows; all without any")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write host and rows there")
    parser.add_argument("--report", action="store_true", help="write the Markdown and HTML pages")
    parser.add_argument("--of", type=Path, nargs="+", metavar="FILE", help="stored runs to report")
    parser.add_argument("--rounds", type=int, default=60, help="of floor and subject, alternated")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--no-fifo", action="store_true", help="do not ask for the FIFO class")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = options_of(sys.argv[1:] if arguments is None else arguments)
    if options.list:
        for target in TABLE.values():
            sys.stdout.write(f"{target.id:26} {target.question}\n")
        return 0
    unknown = [name for name in options.names if name not in TABLE]
    if unknown:
        say(f"no row {', '.join(unknown)}; --list names them")
        return 2
    if options.json is not None and not options.json.parent.is_dir():
        say(f"--json {options.json}: there is no folder {options.json.parent}")
        return 2
    if options.of:
        try:
            host_facts, rows = stored.merged([stored.load(path) for path in options.of])
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"--of: no stored run of build/bench/results: {error}")
            return 2
        return finish(options, host_facts, rows)
    begun = time.monotonic()
    kit = Kit(rounds=options.rounds, peers=not options.no_peers, fifo=not options.no_fifo)
    host.prepare(kit)
    rows = measure(kit, options.names or list(TABLE))
    kit.host["seconds"] = round(time.monotonic() - begun)
    kit.host["peers_missing"] = dict(peers.MISSING)
    kept = stored.store(kit.host, rows)
    say(f"wrote {kept}")
    return finish(options, kit.host, rows)


def finish(options: argparse.Namespace, facts: dict[str, Any], rows: list[Row]) -> int:
    """Write what was asked for and print the table."""
    if options.json is not None:
        result = {"host": facts, "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.report:
        for path in report.write(facts, rows):
            say(f"wrote {path}")
    sys.stdout.write(report.table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
