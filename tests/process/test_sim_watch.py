"""What the exchange notes for a fault campaign: faults by order, orders no journal knew of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_process import SimProcess, running
from oracle.sim_wallet import FAVOURITE, HostileWallet
from overround.ledger.journal import Journal
from overround.ledger.records import Sent, Signed, encode
from overround.match.types import OrderType, Side
from overround.venues.polymarket.orders import OrderParams, exchange_domain, order_digest

QUIET = ("--rate", "0", "--edge-every", "0")


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[SimProcess]:
    watched = ("--watch-journal", str(tmp_path / "journal"))
    with running(*QUIET, "--log", str(tmp_path / "log.jsonl"), *watched) as sim:
        yield sim


def lines(tmp_path: Path, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    return [line for line in found if line["event"] == event]


def digest_of(body: dict[str, Any]) -> str:
    order = body["order"]
    params = OrderParams(
        salt=int(order["salt"]),
        maker=order["maker"],
        signer=order["signer"],
        token_id=int(order["tokenId"]),
        maker_amount=int(order["makerAmount"]),
        taker_amount=int(order["takerAmount"]),
        side=int(Side[order["side"]]),
        signature_type=int(order["signatureType"]),
        timestamp_ms=int(order["timestamp"]),
    )
    return "0x" + order_digest(params, exchange_domain(neg_risk=True)).hex()


def bid(wallet: HostileWallet) -> dict[str, Any]:
    yes = wallet.sim.get(f"/clob-markets/{FAVOURITE}")["t"][0]["t"]
    return wallet.body(yes, Side.BUY, 5_000_000, 10_000_000)


def post(wallet: HostileWallet, *bodies: dict[str, Any]) -> None:
    path, body = ("/order", bodies[0]) if len(bodies) == 1 else ("/orders", list(bodies))
    wallet.l2("POST", path, json.dumps(body).encode())


def test_an_order_is_journaled_once_both_records_are_in_the_file(
    quiet: SimProcess, tmp_path: Path
) -> None:
    wallet = HostileWallet(quiet)
    bodies = [bid(wallet) for _ in range(3)]
    ids = [digest_of(body) for body in bodies]

    def signed(number: int) -> Signed:
        return Signed(1, 1, number, ids[number], 1, 1, 1, 1, 1, b"{}")

    with Journal(tmp_path / "journal", segment_bytes=1 << 16) as journal:
        journal.append(*encode(signed(0)))
        journal.append(*encode(Sent((ids[0],))))
        journal.append(*encode(signed(1)))
        post(wallet, bodies[0])
        assert quiet.get("/sim/state")["unjournaled"] == 0
        post(wallet, bodies[1], bodies[2])
    assert quiet.get("/sim/state")["unjournaled"] == 2
    found = {line["order_id"]: line["lacks"] for line in lines(tmp_path, "unjournaled")}
    assert found == {ids[1]: ["sent"], ids[2]: ["signed", "sent"]}


def test_a_request_that_is_lost_is_looked_up_all_the_same(
    quiet: SimProcess, tmp_path: Path
) -> None:
    wallet = HostileWallet(quiet)
    body = bid(wallet)
    quiet.control("faults", switch="request-lost", value=1)
    with pytest.raises(OSError):
        post(wallet, body)
    assert [line["order_id"] for line in lines(tmp_path, "unjournaled")] == [digest_of(body)]
    assert lines(tmp_path, "hit")[-1]["order_ids"] == [digest_of(body)]


def test_a_fault_counts_for_the_orders_it_hits_and_for_nothing_else(
    quiet: SimProcess, tmp_path: Path
) -> None:
    wallet = HostileWallet(quiet)
    bodies = [bid(wallet), bid(wallet)]
    quiet.control("faults", switch="gateway-error", value=2)
    with pytest.raises(ValueError):
        wallet.l2("GET", "/data/trades")
    assert quiet.get("/sim/state")["order_faults"] == {}
    with pytest.raises(ValueError):
        post(wallet, *bodies)
    assert quiet.get("/sim/state")["order_faults"] == {"gateway-error": 2}
    (hit,) = lines(tmp_path, "hit")
    assert hit["fault"] == "gateway-error"
    assert hit["order_ids"] == [digest_of(body) for body in bodies]


def test_cancels_trades_and_limits_name_their_orders_too(quiet: SimProcess, tmp_path: Path) -> None:
    wallet = HostileWallet(quiet)
    body = bid(wallet)
    post(wallet, body)
    quiet.control("faults", switch="cancel-missed", value=1)
    assert wallet.l2("DELETE", "/cancel-all")[1]["canceled"] == []
    quiet.control("faults", switch="too-many", value=1)
    cancel = json.dumps({"orderID": digest_of(body)}).encode()
    assert wallet.l2("DELETE", "/order", cancel)[0] == 429
    quiet.control("fail-trades", count=1)
    yes = quiet.get(f"/clob-markets/{FAVOURITE}")["t"][0]["t"]
    taker = wallet.body(yes, Side.BUY, 19_800_000, 20_000_000, OrderType.FAK)
    post(wallet, taker)
    while quiet.get("/sim/state")["unsettled"]:
        pass
    hits = {line["fault"]: line["order_ids"] for line in lines(tmp_path, "hit")}
    assert hits == {
        "cancel-missed": [digest_of(body)],
        "too-many": [digest_of(body)],
        "trade-failed": [digest_of(taker)],
    }
