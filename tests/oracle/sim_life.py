"""One life of an exchange on a hand-turned clock, told by its digests: python sim_life.py SEED LOG.

Run it twice, even under different hash seeds of Python: every digest must be the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

from oracle.sim_rig import Rig
from overround.errors import OverroundError
from overround.match.types import Side
from overround.sim.edges import EdgeSettings
from overround.sim.flow import Flow, FlowSettings
from overround.sim.intake import Refusal
from overround.units import format_price

STEP_MS = 20
STEPS = 90


def plain_log(path: Path) -> list[dict[str, Any]]:
    """The exchange's log without the one thing that is read off the wall clock."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["epoch_ms"]
    return lines


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def life(seed: int, log: Path) -> dict[str, Any]:
    """Flow, edges and one member with 90 orders and some cancels, two seconds."""
    rig = Rig(log=log)
    flow = Flow(rig.exchange, seed, FlowSettings(400.0, EdgeSettings(every_s=0.5)))
    random = Random(f"life/{seed}")
    catalog = rig.exchange.catalog
    sinks = [rig.watch(market, custom=True) for market in catalog.markets]
    user = rig.listen()
    texts: list[str] = []
    for step in range(STEPS):
        rig.scheduler.run(STEP_MS)
        flow.run_until((step + 1) * STEP_MS * 1_000_000)
        market = random.choice(catalog.markets)
        outcome = random.randrange(2)
        best = [
            round(float(text) * 10_000) for text in rig.exchange.books[market.index].best(outcome)
        ]
        ticks = best[random.randrange(2)]
        shares = random.randrange(500, 3_000) * 10_000
        side = random.choice(list(Side))
        try:
            record = rig.accept(
                rig.body(market.token(outcome), side, shares * ticks // 10_000, shares)
            )
            rejected = rig.exchange.place(record)
            texts.append(f"{format_price(ticks)} {record.order.status.name} {bool(rejected)}")
        except (Refusal, OverroundError) as refusal:
            texts.append(str(refusal))
        if step % 5 == 4:
            ids = [record.order.id for record in rig.exchange.open_records(rig.member.account)]
            rig.exchange.cancel_ids(rig.member, ids[: random.randrange(3)])
    rig.scheduler.run(1_000)
    rig.exchange.engine.check()
    return {
        "state": rig.exchange.engine.state_hash(),
        "log": digest(plain_log(log)),
        "frames": digest([sink.texts for sink in sinks]),
        "user": digest(user.texts),
        "answers": digest(texts),
        "lines": len(plain_log(log)),
        "member_trades": len(rig.exchange.trades),
        "trades": rig.exchange.trade_count,
        "sent": rig.exchange.channel.frames_sent,
    }


if __name__ == "__main__":
    print(json.dumps(life(int(sys.argv[1]), Path(sys.argv[2]))))
