"""A whole instance whose strategy quotes: strategy, detector, executor and exchange together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from oracle.audit import audit
from oracle.order_campaign_desk import Trader
from oracle.sim_process import running
from overround.execute.process import JOURNAL_FOLDER
from overround.layout.intent import IntentFlag
from overround.ledger.journal import replay
from overround.ledger.records import Fill, Intent, decode

KEY_VARIABLE = "OVERROUND_TEST_KEY"
STRATEGY = '''
from overround.decide.strategy import Context, Strategy

LOTS = 20_000_000


class Joiner(Strategy):
    """Joins the best prices of every book; once a tenth of a second and market."""

    name = "joiner"

    def __init__(self):
        self.last = {}

    def on_book(self, ctx: Context, market: int) -> None:
        book = ctx.book(market)
        if book is None or ctx.now_ns < self.last.get(market, 0) + 100_000_000:
            return
        self.last[market] = ctx.now_ns
        bid = (book.bid_ticks, LOTS) if book.bid_lots else None
        ask = (book.ask_ticks, LOTS) if book.ask_lots else None
        ctx.quote(market, bid, ask, book=book, life_ms=2_000)
'''
"""The strategy as a package of its own would bring it."""


def install(folder: Path) -> Path:
    """A folder that, on the path, is an installed package with one strategy."""
    site = folder / "site"
    info = site / "joiner-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "joiner.py").write_text(STRATEGY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: joiner\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[overround.strategies]\njoiner = joiner:Joiner\n")
    return site


def test_a_strategys_quotes_stand_and_trade_and_end_with_the_instance(tmp_path: Path) -> None:
    log = tmp_path / "exchange.jsonl"
    with running("--log", str(log)) as exchange:
        ready = exchange.ready
        config = tmp_path / "bot.toml"
        hosts = ("rest_url", "gamma_url", "ws_market_url", "ws_user_url")
        config.write_text(
            f'instance = "quote-{os.getpid()}"\nmode = "sim"\nrun_dir = "{tmp_path}"\n[venue]\n'
            + "".join(f'{key} = "{ready[key]}"\n' for key in hosts)
            + f'[account]\nprivate_key_env = "{KEY_VARIABLE}"\n[detect]\nstrategies = ["joiner"]\n'
        )
        account = ready["accounts"][0]
        environment = {**os.environ, KEY_VARIABLE: account["private_key"]}
        environment["PYTHONPATH"] = str(install(tmp_path))
        done = subprocess.run(
            [sys.executable, "-m", "overround.cli.main", "run", "-c", str(config), "--json",
             "--seconds", "8"],
            capture_output=True, text=True, check=False, env=environment, timeout=150,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        me = Trader(ready["rest_url"], account["private_key"], 9)
        assert me.signed("GET", "/data/orders")["data"] == []
        me.close()
    journal = tmp_path / f"quote-{os.getpid()}" / JOURNAL_FOLDER
    records = [decode(raw) for raw in replay(journal)]
    intents = [one for one in records if isinstance(one, Intent)]
    assert intents
    assert all(one.flags & IntentFlag.QUOTE for one in intents)
    assert report["orders_accepted"] > 4
    assert all(one.maker for one in records if isinstance(one, Fill))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    found = audit(journal, lines, account["address"])
    assert found.clean, found
