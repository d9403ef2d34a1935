"""Journals as an executor could have left them: whole lives of orders, interleaved by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from overround.ledger.journal import Journal
from overround.ledger.records import (
    Ack,
    Adjusted,
    Cancel,
    Done,
    Failed,
    Fill,
    Intent,
    MarketNote,
    Reconcile,
    Record,
    Reject,
    Sent,
    Settled,
    Signed,
    Start,
    Unknown,
    encode,
)

BODY = b"a signature that belongs into the journal alone"
SHARE = 1_000_000
UNKNOWN_KIND = 9_999
UNKNOWN_PAYLOAD = b"\x93\x01\xa3abc\xc4\x03xyz"
"""msgpack of [1, "abc", bytes]: a record that only a later build knows."""


def _intent(random: Random, number: int, token: int) -> Intent:
    return Intent(
        run_id=7, producer=1, sequence=number, plan=number, leg=0, legs=1, account=0, strategy=2,
        token=f"token-{token}", condition_id=f"0xc{token // 2}", outcome=token % 2,
        side=random.randrange(2), order_type=random.choice([0, 2, 3]), flags=0,
        price_ticks=random.randrange(100, 9_900, 100), size_lots=10 * SHARE,
        edge_micro=random.randrange(9_000), created_epoch_ms=1_700_000_000_000 + number,
    )  # fmt: skip


def _fill(random: Random, intent: Intent, order_id: str, trade: str, size: int) -> Fill:
    cash = size * intent.price_ticks // 10_000
    return Fill(
        trade_id=trade, order_id=order_id, token=intent.token, condition_id=intent.condition_id,
        outcome=intent.outcome, side=intent.side, price_ticks=intent.price_ticks, size_lots=size,
        cash_micro=cash, fee_micro=random.randrange(min(cash, 50_000) + 1),
        maker=bool(random.randrange(2)), status="MATCHED", match_epoch_ms=1_700_000_000_000,
    )  # fmt: skip


def life(random: Random, number: int) -> Iterator[Record]:
    """One intent from the ring to its end."""
    intent = _intent(random, number, random.randrange(6))
    key = (intent.run_id, intent.producer, intent.sequence)
    order_id = f"0x{number:064x}"
    yield intent
    if random.random() < 0.15:
        yield Done(*key, "", True, 5, "refused by the gate\0with a zero byte")
        return
    yield Signed(*key, order_id, number * 7, 5, 100, 200, 300, BODY)
    yield Sent((order_id,))
    chance = random.random()
    if chance < 0.1:
        yield Reject(order_id, 9, "not enough balance")
        return
    if chance < 0.3:
        yield Unknown(order_id, "connection reset")
        yield Sent((order_id,), 2)
    parts = random.choice([1, 1, 2])
    trades = tuple(f"trade-{number}-{part}" for part in range(parts))
    yield Ack(order_id, random.choice(["live", "matched", "delayed"]), trades, 0)
    filled = 0
    for trade in trades:
        filled += 5 * SHARE
        yield _fill(random, intent, order_id, trade, 5 * SHARE)
        if random.random() < 0.2:  # told twice
            yield _fill(random, intent, order_id, trade, 5 * SHARE)
        yield (Failed if random.random() < 0.2 else Settled)(trade, order_id)
        if random.random() < 0.1:
            yield Settled(trade, order_id)  # again, or against what was said before
    if parts == 1:
        yield Cancel(order_id, True, "strategy")
        yield Cancel(order_id, False, "canceled", filled)
    yield Done(*key, order_id, False, 0, "complete", filled)
    if random.random() < 0.1:
        yield Ack(order_id, "live", source="listing")  # it was alive after all


def history(seed: int, orders: int) -> Iterator[tuple[int, bytes]]:
    """Kinds and payloads of a journal, some orders at work at a time."""
    random = Random(seed)
    yield encode(Start(7, 1, "sim", "0xabc"))
    yield encode(Reconcile(500 * SHARE, 0, 0, (), True))
    yield encode(Adjusted("token-1", "0xc0", 1, 3 * SHARE, 0, "opening"))
    yield encode(Adjusted("token-9", "0xc9", 0, 4 * SHARE, 250_000, "hand"))
    for token in range(0, 6, 2):
        members = ("0xc0", "0xc1", "0xc2")
        yield encode(
            MarketNote(f"0xc{token // 2}", f"token-{token}", f"token-{token + 1}", members)
        )
    lives: list[Iterator[Record]] = []
    begun = 0
    while lives or begun < orders:
        if begun < orders and len(lives) < 8 and random.random() < 0.5:
            lives.append(life(random, begun))
            begun += 1
        if not lives:
            continue
        chosen = random.choice(lives)
        record = next(chosen, None)
        if record is None:
            lives.remove(chosen)
        else:
            yield encode(record)
        if random.random() < 0.01:
            yield UNKNOWN_KIND, UNKNOWN_PAYLOAD
        if random.random() < 0.01:
            yield encode(Reconcile(-1, 1, 2, ("cash: venue 1, ledger 2",)))


def write_history(folder: Path, seed: int = 1, orders: int = 60) -> int:
    """Write such a journal in many small segments; return its last sequence."""
    last = 0
    with Journal(folder, segment_bytes=65_536, sync_policy="none") as journal:
        for kind, payload in history(seed, orders):
            last = journal.append(kind, payload)
    return last
