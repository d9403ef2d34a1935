"""``overround sim``: run the exchange in the box until stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overround.errors import ConfigError
from overround.units import MICRO_PER_UNIT

if TYPE_CHECKING:
    from overround.sim.server import ServerSettings

__all__ = ["run_sim", "sim"]
FaultTurns = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        help="Turn a fault switch: NAME[=VALUE][/MARKET][@AT][+FOR], times in seconds; repeatable.",
    ),
]
ChaosSeed = Annotated[
    int | None, typer.Option(help="Turn random fault switches, repeatable by this seed.")
]
LimitsMode = Annotated[
    str, typer.Option(help="The venue's rate limits: off, warn (headers only) or enforce.")
]
LimitTier = Annotated[str, typer.Option(help="Rate-limit tier of every signer: standard to elite.")]
MarketCount = Annotated[
    int,
    typer.Option(
        min=0,
        max=20_000,
        help="How many markets: recorded ones, then generated, a busy few first; 0: recorded only.",
    ),
]
InformedTrades = Annotated[
    float,
    typer.Option(min=0, help="Trades by informed takers at each move of a market's value."),
]
LogFile = Annotated[
    Path | None,
    typer.Option(help="Write the exchange's order and trade log here (JSON lines)."),
]
HistoryKept = Annotated[
    int, typer.Option(min=1, help="Finished orders and settled trades kept for queries.")
]
EdgeEvery = Annotated[
    float, typer.Option(help="Mean seconds between edges in the set; 0 opens none.")
]
StrictAmounts = Annotated[
    bool, typer.Option(help="Refuse market buys finer than the venue's decimals.")
]
OrderVersion = Annotated[
    int,
    typer.Option(min=1, max=2, help="Order version taken: 2, or 1 as before April 2026."),
]
DepositOnly = Annotated[
    bool, typer.Option(help="Refuse orders paid by a key's own address (signature type 0).")
]
BuysDollars = Annotated[
    bool, typer.Option(help="FOK and FAK BUYs spend their cash, however many shares that is.")
]
AutoTick = Annotated[
    bool, typer.Option(help="A tick of 0.01 becomes 0.001 at trades below 0.04 or above 0.96.")
]
StoreFile = Annotated[
    Path | None,
    typer.Option(help="Write every command here before it is carried out; --resume reads it."),
]
WatchJournal = Annotated[
    Path | None,
    typer.Option(
        help="Folder of an executor's journal: log and count orders that come before their records."
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with what --store holds, at the same port: orders, trades, balances, keys.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the ready line as JSON alone.")]


def run_sim(settings: ServerSettings, *, seconds: float, as_json: bool) -> None:
    """Serve until a signal or for ``seconds``; prints one line of JSON when ready.

    People get a sentence on standard error as well, unless ``as_json``.
    """
    import uvloop

    from overround.sim.server import Server, ready_line

    def on_ready(ready: dict[str, Any]) -> None:
        if not as_json:
            sys.stderr.write(
                f"exchange ready at {ready['rest_url']}: {len(ready['accounts'])} funded test "
                "accounts, Ctrl-C stops it\n"
            )
        sys.stdout.write(ready_line(ready) + "\n")
        sys.stdout.flush()

    async def main() -> None:
        await Server(settings).serve(seconds, on_ready)

    uvloop.run(main())


def _check_least(port: int, least: float) -> None:
    if not 0 <= port <= 65_535:
        raise ConfigError(f"--port {port} is not between 0 and 65535")
    if least < 0:
        raise ConfigError("--rate, --edge-every and --seconds must not be negative")


def _check_choices(
    limits: str, limit_tier: str, store: Path | None, *, resume: bool, feed: str
) -> None:
    from overround.sim.limits import MODES, TIERS

    if limits not in MODES or limit_tier not in TIERS:
        raise ConfigError(f"--limits: {', '.join(MODES)}; --limit-tier: {', '.join(TIERS)}")

    if (resume and store is None) or (store is not None and feed != "synthetic"):
        raise ConfigError("--resume needs the --store of the run; a recording cannot have one")


def _check_money(least: int, mined_ms: int, confirmed_ms: int) -> None:
    if least < 0 or not 0 <= mined_ms <= confirmed_ms:
        raise ConfigError("--accounts and --cash from 0; --mined-ms from 0 to --confirmed-ms")


def sim(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes any free one.")] = 0,
    feed: Annotated[
        str, typer.Option(help="synthetic, or a recording of market-channel frames to replay.")
    ] = "synthetic",
    seed: Annotated[int, typer.Option(help="Seed of the flow, the accounts and the keys.")] = 1,
    rate: Annotated[float, typer.Option(help="Mean frames per second; 0 keeps books still.")] = 200,
    markets: MarketCount = 0,
    informed: InformedTrades = 1.0,
    edge_every: EdgeEvery = 2.0,
    edge_hold_ms: Annotated[int, typer.Option(help="How long an untaken edge stands.")] = 1_500,
    log: LogFile = None,
    accounts: Annotated[int, typer.Option(help="How many funded test accounts.")] = 4,
    cash: Annotated[int, typer.Option(help="Dollars of play money in each.")] = 100_000,
    mined_ms: Annotated[int, typer.Option(help="From a match to MINED.")] = 50,
    confirmed_ms: Annotated[int, typer.Option(help="From a match to CONFIRMED.")] = 150,
    seconds: Annotated[float, typer.Option(help="Stop by itself after this long; 0: never.")] = 0.0,
    strict_amounts: StrictAmounts = True,
    version: OrderVersion = 2,
    deposit_only: DepositOnly = False,
    buys_dollars: BuysDollars = False,
    auto_tick: AutoTick = True,
    history: HistoryKept = 50_000,
    fault: FaultTurns = None,
    chaos: ChaosSeed = None,
    limits: LimitsMode = "off",
    limit_tier: LimitTier = "standard",
    store: StoreFile = None,
    resume: Resume = False,
    watch_journal: WatchJournal = None,
    as_json: AsJson = False,
) -> None:
    """Run a local exchange: REST, WebSockets, real order matching, play money.

    Prints one line when it is ready and serves until Ctrl-C or SIGTERM.
    """
    from overround.sim.edges import EdgeSettings
    from overround.sim.exchange import Settlement
    from overround.sim.flow import FlowSettings
    from overround.sim.server import ServerSettings
    from overround.sim.switchboard import parse_plan

    _check_least(port, min(rate, edge_every, seconds))
    _check_money(min(accounts, cash), mined_ms, confirmed_ms)
    _check_choices(limits, limit_tier, store, resume=resume, feed=feed)
    settings = ServerSettings(
        port=port,
        feed=None if feed == "synthetic" else Path(feed),
        seed=seed,
        log=log,
        accounts=accounts,
        cash_micro=cash * MICRO_PER_UNIT,
        markets=markets,
        flow=FlowSettings(rate, EdgeSettings(every_s=edge_every, hold_ms=edge_hold_ms), informed),
        settlement=Settlement(mined_ms=mined_ms, confirmed_ms=confirmed_ms),
        strict_amounts=strict_amounts,
        version=version,
        deposit_only=deposit_only,
        buys_dollars=buys_dollars,
        auto_tick=auto_tick,
        faults=tuple(parse_plan(text) for text in fault or ()),
        chaos=chaos,
        limits=limits,
        limit_tier=limit_tier,
        history=history,
        store=store,
        resume=resume,
        watch_journal=watch_journal,
    )
    run_sim(settings, seconds=seconds, as_json=as_json)
