"""``overround run``: trade as the configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overround.cli.output import print_json, print_report


def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="TOML file of the instance.")],
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Stop by itself after this long.")
    ] = None,
    arm: Annotated[bool, typer.Option("--arm", help="Really send orders in mode live.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")] = False,
) -> None:
    """Run an instance: ingress, detectors and executor under one supervisor, until stopped.

    Mode comes from the file: sim (the exchange in the box), shadow (live data, nothing sent) or
    live (needs --arm). Ctrl-C stops it: open orders are cancelled first.
    """
    from overround.cli.session import run_to_the_end
    from overround.config.load import load_private_key, load_settings
    from overround.observe.log import configure_logging
    from overround.supervise.supervisor import Supervisor, require_armed

    settings = load_settings(config)
    require_armed(settings, arm)
    load_private_key(settings.account)  # fail here, in one line, not in a child's log
    configure_logging("supervisor", settings.mode)
    report = run_to_the_end(Supervisor(settings, armed=arm), seconds)
    if json:
        print_json(report)
    else:
        print_report(report)
