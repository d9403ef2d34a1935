"""``overround doctor``: is this machine, and this configuration, fit to trade?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overround.cli.output import print_json

if TYPE_CHECKING:
    from overround.config.schema import Settings
    from overround.host.check.finding import Finding
    from overround.host.tree import Tree


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also check this TOML file.")
    ] = None,
    jitter: Annotated[
        bool, typer.Option(help="Spin one second on each hot CPU and tell what it lost.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Findings as JSON on stdout.")] = False,
) -> None:
    """Check the host and a configuration; changes nothing. Exit status 1 if anything is bad.

    Every finding names what was seen, why it matters and the one command that changes it.
    """
    from overround.config.load import load_settings
    from overround.config.schema import Settings
    from overround.host.check.finding import Verdict
    from overround.host.check.run import jitter as measure
    from overround.host.check.run import run_checks
    from overround.host.cpus import online, spare
    from overround.host.tree import Tree

    tree = Tree()
    settings = Settings() if config is None else load_settings(config)
    seats, hot = _seats(settings, tree)
    # Without a file what tune would keep apart is checked; with one, what it takes.
    kept = hot if hot and config is not None else frozenset(spare(tree))
    findings = [*run_checks(tree, kept), *seats]
    if jitter:  # where no CPU is kept apart, one of them shows what to expect
        findings.extend(measure(hot or sorted(online(tree))[-1:]))
    if config is not None:
        findings.extend(_configuration(settings))
    if json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print(f"{finding.verdict.upper():<16} {finding.check}: {finding.value}")
            if finding.verdict is not Verdict.GOOD:
                print(f"{'':<17}{finding.why}")
                if finding.change:
                    print(f"{'':<17}to change: {finding.change}")
    if any(finding.verdict is Verdict.BAD for finding in findings):
        raise typer.Exit(1)


def _seats(settings: Settings, tree: Tree) -> tuple[list[Finding], frozenset[int]]:
    """Return where an instance's processes would sit, one finding each, and their CPUs."""
    from overround.errors import HostError
    from overround.host.check.finding import Finding, Verdict
    from overround.host.cpus import format_cpus
    from overround.host.place import SEAT_REASONS, WAIT_REASONS
    from overround.host.topology import read_topology
    from overround.supervise.placing import seats_of

    try:
        layout = seats_of(settings, read_topology(tree, card=settings.cpu.interface))
    except HostError as error:
        why = "an instance with this configuration does not start"
        return [
            Finding("seats", str(error), Verdict.BAD, why, "edit [cpu] of the file")
        ], frozenset()
    findings = [
        Finding(
            f"seat of {seat.name}",
            f"{f'CPU {seat.cpu}' if seat.cpu >= 0 else 'any CPU'}, {seat.wait.name.lower()}",
            Verdict.GOOD if seat.cpu >= 0 else Verdict.BETTER,
            f"{SEAT_REASONS[seat.seat_reason]}; {WAIT_REASONS[seat.wait_reason]}",
        )
        for seat in layout.seats.values()
    ]
    if layout.ring:
        why = "cpu.native_cpus: no other process gets these cores"
        findings.append(
            Finding("seat of the ring", f"CPU {format_cpus(layout.ring)}", Verdict.GOOD, why)
        )
    return findings, layout.hot


def _configuration(settings: Settings) -> list[Finding]:
    from overround.config.load import load_private_key
    from overround.errors import ConfigError
    from overround.host.check.finding import Finding, Verdict

    findings = [
        Finding(
            "configuration",
            f"instance {settings.instance}, mode {settings.mode}",
            Verdict.GOOD,
            "parsed and complete",
        )
    ]
    try:
        load_private_key(settings.account)
    except ConfigError as error:
        findings.append(
            Finding(
                "private key",
                "none",
                Verdict.BAD,
                str(error),
                f"export {settings.account.private_key_env}=0x...",
            )
        )
    else:
        findings.append(Finding("private key", "present", Verdict.GOOD, "signs orders"))
    return findings
