"""``overround doctor``: is this machine, and this configuration, fit to trade?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overround.cli.output import print_json

if TYPE_CHECKING:
    from overround.config.schema import Settings
    from overround.host.checks import Finding


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also check this TOML file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Findings as JSON on stdout.")] = False,
) -> None:
    """Check the host and a configuration; changes nothing. Exit status 1 if anything is bad.

    Every finding names what was seen, why it matters and the one command that changes it.
    """
    from overround.host.checks import Verdict, run_checks

    findings = list(run_checks())
    if config is not None:
        from overround.config.load import load_settings

        findings.extend(_configuration(load_settings(config)))
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
    from overround.host.checks import Finding, Verdict

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
