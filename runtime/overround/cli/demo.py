"""``overround demo``: the whole path on the exchange in the box, with no account."""

from __future__ import annotations

import contextlib
import json as jsonlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overround.cli.output import print_json, print_report
from overround.errors import ConfigError, HostError
from overround.units import LOTS_PER_SHARE, MICRO_PER_UNIT

if TYPE_CHECKING:
    from overround.config.schema import Settings

READY_TIMEOUT_S = 60
KEY_VARIABLE = "OVERROUND_DEMO_KEY"
DISCOVERY_INTERVAL_S = 2

PLAY_MONEY = 10_000_000
"""Dollars in each test account: sets stay locked up until their event resolves."""


def demo(
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long to trade.")] = 30,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option(help="New folder to leave exchange log, tap, journal and ledger in."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic flow.")] = 7,
    chaos: Annotated[
        int | None, typer.Option(help="Let the exchange misbehave at random, by this seed.")
    ] = None,
) -> None:
    """Trade on the embedded exchange: real processes, sockets, books, signatures, settlement.

    Starts an exchange with recorded books and synthetic flow, then ingress, detector and
    executor under a supervisor; shows progress and ends by itself with a report. P&L counts
    settled fills only: cash paid and received, fees, and the least that the settled positions
    can redeem for.
    """
    from overround.cli.session import run_to_the_end
    from overround.observe.log import configure_logging
    from overround.supervise.supervisor import Supervisor

    with _folder(keep) as folder:
        configure_logging("supervisor", "sim")
        exchange, ready = start_exchange(seed, folder / "exchange.jsonl", chaos)
        try:
            environment = {**os.environ, KEY_VARIABLE: ready["accounts"][0]["private_key"]}
            supervisor = Supervisor(
                demo_settings(ready, folder),
                environment=environment,
                external={"exchange": exchange},
            )
            report = run_to_the_end(supervisor, seconds)
        finally:
            _stop(exchange)
        report["seed"] = seed
        (folder / "report.json").write_text(jsonlib.dumps(report, indent=2) + "\n")
    if json:
        print_json(report)
    else:
        print_report(report)
        if keep is not None:
            print(f"kept in {keep}: " + ", ".join(sorted(path.name for path in keep.iterdir())))


def demo_settings(ready: dict[str, Any], folder: Path) -> Settings:
    """Return the settings of a demo against the exchange that printed this ready line."""
    from overround.config.load import settings_from

    return settings_from(
        {
            "instance": f"demo-{os.getpid()}",
            "mode": "sim",
            "run_dir": folder,
            "venue": {
                "rest_url": ready["rest_url"],
                "gamma_url": ready["gamma_url"],
                "ws_market_url": ready["ws_market_url"],
                "ws_user_url": ready["ws_user_url"],
                "discovery_interval_s": DISCOVERY_INTERVAL_S,
            },
            "account": {"private_key_env": KEY_VARIABLE},
            "capacity": {"markets": 256},
            # The cheapest outcomes cost a fraction of a cent and the venue takes no marketable
            # buy below a dollar: a complete set of them needs a few hundred shares.
            "detect": {"size_max_lots": 800 * LOTS_PER_SHARE},
            "risk": {
                "order_notional_max_micro": 1_000 * MICRO_PER_UNIT,
                "market_position_max_lots": 1_000_000 * LOTS_PER_SHARE,
                "market_notional_max_micro": PLAY_MONEY * MICRO_PER_UNIT,
                "market_loss_max_micro": PLAY_MONEY * MICRO_PER_UNIT,
                "event_notional_max_micro": PLAY_MONEY * MICRO_PER_UNIT,
                "strategy_notional_max_micro": PLAY_MONEY * MICRO_PER_UNIT,
                "event_position_max_lots": 10_000_000 * LOTS_PER_SHARE,
                "strategy_position_max_lots": 100_000_000 * LOTS_PER_SHARE,
                "account_position_max_lots": 100_000_000 * LOTS_PER_SHARE,
                "account_notional_max_micro": PLAY_MONEY * MICRO_PER_UNIT,
            },
            "execute": {"plan_worst_max_micro": 1_000 * MICRO_PER_UNIT},
            "ingress": {"hash_audit_every": 4, "silence_ms": 5_000},
        },
        where="demo",
    )


def start_exchange(
    seed: int, log: Path, chaos: int | None = None
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start the exchange process and return it with its ready line. Raises HostError."""
    from overround.shm.process import die_with_parent

    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "overround.cli.main",
            "sim",
            "--json",
            "--seed",
            str(seed),
            "--log",
            os.fspath(log),
            "--cash",
            str(PLAY_MONEY),
            *(() if chaos is None else ("--chaos", str(chaos))),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        # The exchange has no roster to watch us by; the kernel ends it with us.
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT_S)
    line = process.stdout.readline() if readable else b""
    try:
        return process, jsonlib.loads(line)
    except ValueError:
        _stop(process)
        what = "ended before it was ready" if readable else f"was not ready in {READY_TIMEOUT_S} s"
        raise HostError(f"the exchange {what}; try: overround sim --json") from None


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="overround-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        empty = not any(keep.iterdir())
    except OSError as error:
        raise ConfigError(f"--keep {keep}: {error.strerror}; name a folder we may write") from None
    if not empty:
        # An old journal would be recovered against a new exchange that knows none of it.
        raise ConfigError(f"--keep {keep} is not empty; name a new folder")
    yield keep.resolve()
