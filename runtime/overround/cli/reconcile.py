"""``overround reconcile``: compare journal and venue by hand, and mend if told to."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from overround.cli.output import print_json
from overround.errors import ConfigError

JOURNAL = "journal"


def reconcile(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file of the instance.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run, if no file is named: runs/NAME.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Mend: the executor must not be running.")
    ] = False,
    accept_zero: Annotated[
        bool, typer.Option("--accept-zero", help="With --apply: believe balances of zero too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")] = False,
) -> None:
    """Compare orders, trades, cash and shares with the venue. Changes nothing without --apply.

    May run beside a running executor. --apply settles what is in doubt, deals with orders nobody
    knows as execute.orphan_orders says, and adopts what still differs into the journal.
    Status 1 while something differs.
    """
    from overround.execute.byhand import look, mend

    settings, folder = _find(config, run_dir)
    if not folder.is_dir():
        raise ConfigError(f"there is no journal at {folder}: name the run with --run-dir")
    if apply:
        report = asyncio.run(mend(settings, folder, accept_zero=accept_zero, told=_tell))
    else:
        report = asyncio.run(look(settings, folder))
    if json:
        print_json(report)
    else:
        print("\n".join(_lines(report)))
    if report["differences"] and not report.get("adopted"):
        raise typer.Exit(1)


def _tell(text: str) -> None:
    sys.stderr.write(f"overround: {text}\n")


def _find(config: Path | None, run_dir: Path | None) -> tuple[Any, Path]:
    from overround.config.load import load_settings
    from overround.config.schema import Settings
    from overround.supervise.child import SETTINGS_FILE

    if config is not None:
        settings = load_settings(config)
        return settings, (run_dir or settings.instance_dir) / JOURNAL
    folder = run_dir or Path("runs") / "default"
    try:
        text = (folder / SETTINGS_FILE).read_text(encoding="utf-8")
        return Settings.model_validate_json(text), folder / JOURNAL
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no settings in {folder} ({type(error).__name__}): name the file with --config"
        ) from None


def _lines(report: dict[str, Any]) -> list[str]:
    if report["applied"]:
        lines = [f"mended: {report['records_written']} records written"]
        lines += [f"adopted: {one}" for one in report["adopted"]]
        lines.append(f"orders still working: {report['working']}")
    else:
        orders, cash = report["orders"], report["cash_micro"]
        lines = [
            f"orders: {orders['working']} working in the journal ({orders['unknown']} of unknown "
            f"outcome), {orders['venue']} open at the venue",
            f"cash: ledger {cash['ledger']}, venue {cash['venue']} micro-units"
            + ("" if cash["compared"] else " (not at rest: not compared)"),
        ]
    lines += [f"differs: {one}" for one in report["differences"]]
    if not report["differences"]:
        lines.append("nothing differs")
    return lines
