"""The order path: intent to last byte, signature, and what the HTTP client adds.

bench/path measures it, each in a process of its own, contenders in turn; here its figures become
rounds. Both print more by themselves: bench/path/bench_order.py, bench/path/bench_transport.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any

from runner.judge import Row, chunks, judge, unmeasured
from runner.kit import ROOT, CannotMeasure, Kit, last_line

ORDERS_PER_ROUND = 25
OFFICIAL = "py-clob-client-v2"
PATIENCE_S = 300
ROWS = {
    "order_pooled": ("pooled", "floor"), "order_unpooled": ("unpooled", "client_sent"),
    "order_sign": ("sign", "bare"),
}  # fmt: skip
"""Row to the names of its subject and of its floor in bench_order."""
SAID = {
    "order_pooled": "let out by a permit; ring read, gate, three records, HMAC, one send",
    "order_unpooled": "the floor is the client's create_and_post_order up to the last byte, to the "
    "same socket; ring, gate, store and journal are in ours alone",
    "order_sign": "typed-data digest of one order and a recoverable signature",
}
BESIDE = {
    "order_pooled": {"judged": "without a permit"},
    "order_unpooled": {
        "burst": "right behind another order", "submit": "nothing sent",
        "ordinary": "without a permit", "build": "amounts, signature, body and headers alone",
    },
    "order_sign": {},
}  # fmt: skip
"""Rows of bench_order that are told beside, in its own order."""
CLIENTS = {"client_sent": OFFICIAL, "client": f"{OFFICIAL}, build, sign and headers alone"}
CAUSES = {
    "order_pooled": "Python between the ring and the native call",
    "order_unpooled": "risk gate, order store and journal records are ours alone",
    "order_sign": "packing the order's fields in Python",
}


def measured(what: str, count: int) -> dict[str, Any]:
    """Return what bench/path/series.py printed; raises CannotMeasure with its last line."""
    command = [sys.executable, str(ROOT / "bench" / "path" / "series.py"), what, str(count)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=ROOT
        )
    except subprocess.TimeoutExpired as late:
        raise CannotMeasure(f"bench of {what} took longer than {PATIENCE_S} s") from late
    if done.returncode:
        raise CannotMeasure(f"bench of {what}: {last_line(done.stderr)}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def order_row(name: str, taken: dict[str, list[float]], rounds: int) -> Row:
    """Return one row from the nanoseconds of every contender."""
    subject, floor = ROWS[name]
    if floor not in taken:
        return unmeasured(name, f"{OFFICIAL} is not installed")
    notes: dict[str, Any] = {"measured": SAID[name], "missed": CAUSES[name]}
    notes |= {
        f"{text}, us": round(median(taken[key]) / 1e3, 1)
        for key, text in BESIDE[name].items() if key in taken
    }  # fmt: skip
    peers = {
        text: median(taken[key]) / 1e3
        for key, text in CLIENTS.items() if key in taken and name != "order_sign"
    }  # fmt: skip
    return judge(
        name, chunks(taken[subject], rounds), chunks(taken[floor], rounds), scale=1e-3,
        peers=peers, notes=notes,
    )  # fmt: skip


def transport_row(found: dict[str, Any], rounds: int) -> Row:
    """Return ``order_transport`` from every client's latencies."""
    took, cpu_us = found["took"], found["cpu_us"]
    ours, others = took["ours"], [name for name in took if name not in ("ours", "floor")]
    notes = {
        "floor is": "a blocking socket of Python: it sleeps, as ours does in its event loop",
        "CPU us a request": ", ".join(f"{name} {us:.1f}" for name, us in cpu_us.items()),
        "p99 us": ", ".join(
            f"{name} {sorted(values)[len(values) * 99 // 100] / 1e3:.0f}"
            for name, values in took.items()
        ),
    }
    return judge(
        "order_transport", chunks(ours, rounds), chunks(took["floor"], rounds), scale=1e-3,
        peers={name: median(took[name]) / 1e3 for name in others}, notes=notes,
    )  # fmt: skip


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return the rows of the order path that are wanted."""
    rows = []
    wanted = [name for name in names if name in ROWS]
    if wanted:
        try:
            taken = measured("order", kit.rounds * ORDERS_PER_ROUND)["taken"]
            rows += [order_row(name, taken, kit.rounds) for name in wanted]
        except CannotMeasure as error:
            rows += [unmeasured(name, str(error)) for name in wanted]
    if "order_transport" in names:
        try:
            rounds = max(10, kit.rounds // 3)
            rows.append(transport_row(measured("transport", rounds), rounds))
        except CannotMeasure as error:
            rows.append(unmeasured("order_transport", str(error)))
    return rows
