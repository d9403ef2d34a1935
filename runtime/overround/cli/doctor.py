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
    from overround.host.check.finding import Verdict
    from overround.host.check.run import jitter as measure
    from overround.host.check.run import run_checks
    from overround.host.cpus import online, spare
    from overround.host.tree import Tree

    tree, settings = Tree(), None
    if config is not None:
        from overround.config.load import load_settings

        settings = load_settings(config)
    hot = set(settings.cpu.cpus) if settings is not None else set()
    hot = hot or set(spare(tree))
    findings = list(run_checks(tree, hot))
    if jitter:  # where no CPU is kept apart, one of them shows what to expect
        findings.extend(measure(hot or sorted(online(tree))[-1:]))
    if settings is not None:
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
