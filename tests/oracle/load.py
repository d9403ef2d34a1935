"""The load run: many sockets and thousands of orders a second against a real exchange process.

``python -m oracle.load`` (from tests/) prints a JSON report and fails if a trade was lost or
told twice anywhere, if money or tokens are not conserved, or if memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import uvloop

from oracle.load_audit import audit
from oracle.load_clients import MarketClient, UserClient
from oracle.load_orders import BATCH, OrderMaker, Trader
from oracle.sim_process import SimProcess, running
from overround.clock import NS_PER_MS, NS_PER_S, epoch_ns, monotonic_ns
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers, l2_headers

SETTLED_S = 60.0
"""How long after the last order everything may take to settle and to arrive."""

IN_FLIGHT_MAX = 80

FLAT_SAMPLES_MIN = 40
"""Seconds of a run before its memory is judged: histories must have filled."""

FLAT_GROWTH_MAX = 1.1


@dataclass(frozen=True)
class Plan:
    """What to run. ``per_client`` markets are followed by each ordinary client."""

    seconds: float = 60.0
    orders_per_s: float = 2_000.0
    accounts: int = 20
    clients: int = 200
    wide: int = 2
    markets: int = 500
    per_client: int = 5
    history: int = 5_000
    seed: int = 1


@dataclass
class Load:
    """A run in progress: connections and what was seen."""

    plan: Plan
    sim: SimProcess
    http: aiohttp.ClientSession
    markets: list[tuple[str, str]] = field(default_factory=list)
    traders: list[Trader] = field(default_factory=list)
    watchers: list[MarketClient] = field(default_factory=list)
    listeners: list[UserClient] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    latencies_ns: list[int] = field(default_factory=list)
    rss_kb: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def request(self, trader: Trader, method: str, path: str, body: bytes = b"") -> Any:
        """One signed request; anything but 200 is an error of the run."""
        headers = l2_headers(
            trader.credentials, trader.signer.address, epoch_ns() // NS_PER_S, method, path, body
        )
        headers["Content-Type"] = "application/json"
        url = self.sim.url + path
        async with self.http.request(method, url, data=body, headers=headers) as answer:
            if answer.status != 200:
                self.errors.append(f"{method} {path}: {answer.status} {await answer.text()}")
                return None
            return await answer.json()

    def memory_kb(self) -> int:
        """Resident memory of the exchange."""
        text = Path(f"/proc/{self.sim.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])


async def open_markets(load: Load) -> None:
    """List the markets, each with a deep level on either side of the middle."""
    deep = {"bids": [["0.48", "9000000"], ["0.2", "50"]], "asks": [["0.52", "9000000"]]}
    for number in range(load.plan.markets):
        body = {"slug": f"load-{number}", "frames_per_s": 0, **deep}
        async with load.http.post(load.sim.url + "/sim/markets", json=body) as answer:
            assert answer.status == 200, await answer.text()
            tokens = (await answer.json())["tokens"]
            load.markets.append((tokens[0], tokens[1]))


async def log_in(load: Load) -> None:
    """Make credentials for every account."""
    for account in load.sim.ready["accounts"]:
        signer = Signer(account["private_key"])
        headers = l1_headers(signer, epoch_ns() // NS_PER_S)
        async with load.http.post(load.sim.url + "/auth/api-key", headers=headers) as answer:
            made = await answer.json()
        load.traders.append(
            Trader(signer, Credentials(made["apiKey"], made["secret"], made["passphrase"]))
        )


async def connect(load: Load, random: Random) -> None:
    """Open every socket; done when each has all its opening books."""
    plan = load.plan
    for number in range(plan.clients):
        count = plan.markets if number < plan.wide else min(plan.per_client, plan.markets)
        chosen = random.sample(load.markets, count)
        load.watchers.append(MarketClient([token for pair in chosen for token in pair]))
    for trader in load.traders:
        keys = trader.credentials
        auth = {"apiKey": keys.api_key, "secret": keys.secret, "passphrase": keys.passphrase}
        load.listeners.append(UserClient(auth))
    for watcher in load.watchers:
        await watcher.open(load.sim.ready["ws_market_url"])
    for listener in load.listeners:
        await listener.open(load.sim.ready["ws_user_url"])
    async with asyncio.timeout(SETTLED_S):
        while any(watcher.books < len(watcher.tokens) for watcher in load.watchers):
            await asyncio.sleep(0.02)


def note(load: Load, answers: Any) -> None:
    """Count the answers of a batch by what became of the orders."""
    for answer in answers or ():
        key = answer["status"] or answer["errorMsg"].split(":")[0].split("0x")[0]
        load.answers[key] = load.answers.get(key, 0) + 1


async def stock_up(load: Load, makers: list[OrderMaker]) -> None:
    """Give every account some tokens to sell in the first markets."""
    for trader, maker in zip(load.traders, makers, strict=True):
        orders = [maker.stock(pair[0]) for pair in load.markets[:BATCH]]
        answers = await load.request(trader, "POST", "/orders", b"[" + b",".join(orders) + b"]")
        assert all(answer["status"] == "matched" for answer in answers), answers


async def post(load: Load, trader: Trader, body: bytes) -> None:
    """Send one batch and time it."""
    begun_ns = monotonic_ns()
    note(load, await load.request(trader, "POST", "/orders", body))
    load.latencies_ns.append(monotonic_ns() - begun_ns)


async def fire(load: Load, batches: list[list[bytes]]) -> float:
    """Send all batches at the planned pace; return the seconds it took."""
    gap_ns = int(BATCH * NS_PER_S / load.plan.orders_per_s)
    total = sum(map(len, batches))
    running_tasks: set[asyncio.Task[Any]] = set()
    begun_ns = monotonic_ns()
    next_sweep_ns = begun_ns
    sweeps = 0
    for number in range(total):
        due_ns = begun_ns + number * gap_ns
        while (wait_ns := due_ns - monotonic_ns()) > 0:
            await asyncio.sleep(wait_ns / NS_PER_S)
        while len(running_tasks) >= IN_FLIGHT_MAX:
            await asyncio.wait(running_tasks, return_when=asyncio.FIRST_COMPLETED)
        account = number % len(batches)
        body = batches[account][number // len(batches)]
        task = asyncio.create_task(post(load, load.traders[account], body))
        running_tasks.add(task)
        task.add_done_callback(running_tasks.discard)
        if monotonic_ns() >= next_sweep_ns:  # every account empties its book once a second
            next_sweep_ns += NS_PER_S // len(batches)
            trader = load.traders[sweeps % len(batches)]
            sweeps += 1
            sweep = asyncio.create_task(load.request(trader, "DELETE", "/cancel-all"))
            running_tasks.add(sweep)
            sweep.add_done_callback(running_tasks.discard)
            if sweeps % len(batches) == 0:
                load.rss_kb.append(load.memory_kb())
    while running_tasks:
        await asyncio.wait(running_tasks)
    return (monotonic_ns() - begun_ns) / NS_PER_S


async def settle(load: Load) -> dict[str, Any]:
    """Wait until nothing is unsettled and no frame arrives any more."""
    async with asyncio.timeout(SETTLED_S):
        while True:
            before = sum(watcher.frames for watcher in load.watchers)
            await asyncio.sleep(0.3)
            async with load.http.get(load.sim.url + "/sim/state") as answer:
                state: dict[str, Any] = await answer.json()
            if not state["unsettled"] and before == sum(w.frames for w in load.watchers):
                return state


def percentile_ms(values: list[int], share: float) -> float:
    """A percentile of nanoseconds, in milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / NS_PER_MS, 2)


def cpu_s(process: SimProcess) -> float:
    """CPU seconds the exchange has used."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def swollen(rss_kb: list[int]) -> list[str]:
    """A complaint if memory still grew in the last third of a run that is long enough to tell."""
    if len(rss_kb) < FLAT_SAMPLES_MIN:
        return []
    before, after = rss_kb[2 * len(rss_kb) // 3], rss_kb[-1]
    if after <= before * FLAT_GROWTH_MAX:
        return []
    return [f"memory grew from {before} to {after} kB in the last third"]


async def drive(plan: Plan, sim: SimProcess, log: Path) -> dict[str, Any]:
    """Run the plan against a running exchange and return the report."""
    random = Random(f"load/{plan.seed}")
    connector = aiohttp.TCPConnector(limit=2 * plan.accounts)
    async with aiohttp.ClientSession(connector=connector) as http:
        load = Load(plan, sim, http)
        await open_markets(load)
        await log_in(load)
        makers = [OrderMaker(trader, load.markets, random) for trader in load.traders]
        each = max(1, round(plan.seconds * plan.orders_per_s / BATCH / plan.accounts))
        batches = [[maker.batch() for _ in range(each)] for maker in makers]
        await connect(load, random)
        await stock_up(load, makers)
        load.rss_kb.append(load.memory_kb())
        used_s = cpu_s(sim)
        took_s = await fire(load, batches)
        used_s = cpu_s(sim) - used_s
        for trader in load.traders:
            await load.request(trader, "DELETE", "/cancel-all")
        state = await settle(load)
        load.rss_kb.append(load.memory_kb())
        found = await audit(load, log) + swollen(load.rss_kb)
        for client in (*load.watchers, *load.listeners):
            client.close()
    orders = plan.accounts * each * BATCH
    frames = sum(watcher.frames for watcher in load.watchers)
    return {
        "plan": asdict(plan),
        "orders": orders,
        "seconds": round(took_s, 2),
        "orders_per_s": round(orders / took_s),
        "cpu_share": round(used_s / took_s, 2),
        "cpu_us_per_order": round(used_s / orders * 1e6),
        "batch_ms": {f"p{p}": percentile_ms(load.latencies_ns, p / 100) for p in (50, 90, 99)},
        "answers": load.answers,
        "market_frames": frames,
        "market_frames_per_s": round(frames / took_s),
        "market_mb_per_s": round(sum(w.frame_bytes for w in load.watchers) / took_s / 1e6, 1),
        "member_trades": state["log"].get("trade", 0),
        "rss_mb": [kb // 1024 for kb in load.rss_kb],
        "errors": load.errors[:10] + found,
    }


def run(plan: Plan, *options: str) -> dict[str, Any]:
    """Start an exchange with more options, run the plan on it, return the report."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        quiet = ("--rate", "0", "--edge-every", "0")
        funded = ("--accounts", str(plan.accounts), "--cash", "10000000")
        kept = ("--history", str(plan.history))
        with running(*quiet, *funded, *kept, *options, "--log", str(log)) as sim:
            return uvloop.run(drive(plan, sim, log))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="scripts/load", description=__doc__)
    for name, value in asdict(Plan()).items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(value), default=value, help=f"default {value}")
    report = run(Plan(**vars(parser.parse_args())))
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if report["errors"] else 0)


if __name__ == "__main__":
    main()
