"""``overround stat``: what a running instance is doing, read from shared memory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from overround.cli.output import print_json, print_report
from overround.errors import HostError


def stat(
    instance: Annotated[
        str | None, typer.Option(help="Name of the instance, if several run.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")] = False,
) -> None:
    """Show counters, stage latencies, trust and processes of a running instance.

    Reads shared memory from outside: the instance does not notice.
    """
    report = read_instance(instance)
    if json:
        print_json(report)
    else:
        print(f"instance {report['instance']}")
        print_report(report)


def read_instance(instance: str | None) -> dict[str, Any]:
    """Return the report of the named instance, or of the only one that runs.

    Raises HostError if there is none or if a name is needed.
    """
    from overround.layout.region import RegionKind
    from overround.shm.meters import MetersView
    from overround.shm.names import list_runs, segment_name
    from overround.shm.roster import Roster
    from overround.shm.segment import Segment
    from overround.supervise.instance import MODE_NUMBERS
    from overround.supervise.placed import region_placement
    from overround.supervise.report import build_report

    runs = [found for found in list_runs() if found.alive]
    if instance is not None:
        runs = [found for found in runs if found.instance == instance]
    if not runs:
        raise HostError("no instance is running; start one with: overround demo")
    if len(runs) > 1:
        names = ", ".join(sorted(found.instance for found in runs))
        raise HostError(f"several instances run ({names}): name one with --instance")
    roster_segment = Segment.attach(
        segment_name(runs[0].instance, runs[0].run_id, "roster"), RegionKind.ROSTER
    )
    opened = [roster_segment]
    try:
        roster = Roster(roster_segment)

        def meters(process: str) -> MetersView:
            name = roster.segment_name(f"meters-{process}")
            opened.append(Segment.attach(name, RegionKind.METERS))
            return MetersView(opened[-1])

        report = build_report(roster.processes(), meters)
        report["regions"] = region_placement(roster.regions())
        modes = {number: name for name, number in MODE_NUMBERS.items()}
        report["mode"] = modes.get(roster.mode, "unknown")
        report["instance"] = runs[0].instance
        return report
    finally:
        for segment in opened:
            segment.close()
