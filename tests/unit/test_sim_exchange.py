"""Orders, trades and settlement of the exchange, from signed bytes to the last event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_rig import SHARE, START_MS, Rig
from overround.errors import HostError
from overround.match.types import BookSide, OrderType, Side
from overround.sim.flow import Flow, FlowSettings
from overround.sim.intake import Refusal, rejection_text
from overround.sim.members import funded_signers
from overround.sim.orderlog import OrderLog

FAVOURITE = 3


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(log=tmp_path / "log.jsonl")
    made.flow = Flow(made.exchange, 1, FlowSettings(rate=0))  # type: ignore[attr-defined]
    return made


def yes(rig: Rig, index: int = FAVOURITE) -> str:
    return rig.exchange.catalog.markets[index].token_yes


def no(rig: Rig, index: int = FAVOURITE) -> str:
    return rig.exchange.catalog.markets[index].token_no


def place(rig: Rig, body: Any) -> Any:
    record = rig.accept(body)
    rejected = rig.exchange.place(record)
    if rejected is not None:
        raise Refusal(rejection_text(rejected, record.market))
    return record


def log_lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]


def test_resting_order_is_told_listed_and_cancelled(rig: Rig) -> None:
    sink = rig.listen()
    record = place(rig, rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE))
    event = sink.take()[0]
    assert (event["type"], event["status"], event["size_matched"]) == ("PLACEMENT", "LIVE", "0")
    assert event["id"] == record.order.id
    assert [r.order.id for r in rig.exchange.open_records(rig.member.account)] == [event["id"]]
    holding = rig.exchange.accounts.holding(rig.member.account)
    assert holding.reserved_micro == 18 * SHARE
    done, refused = rig.exchange.cancel_ids(rig.member, [event["id"], "0xother"])
    assert (done, list(refused)) == ([event["id"]], ["0xother"])
    assert sink.take()[0]["type"] == "CANCELLATION"
    assert holding.reserved_micro == 0
    again = rig.exchange.cancel_ids(rig.member, [event["id"]])[1]
    assert again == {event["id"]: "already canceled or matched"}
    rig.exchange.engine.check()


def test_trade_climbs_to_confirmed_and_moves_money_only_then(rig: Rig, tmp_path: Path) -> None:
    sink = rig.listen()
    body = rig.body(yes(rig), Side.BUY, 19_800_000, 20 * SHARE, OrderType.FAK)
    record = place(rig, body)
    events = sink.take()
    assert [e["event_type"] for e in events] == ["order", "order", "trade"]
    assert [e.get("type") for e in events[:2]] == ["PLACEMENT", "UPDATE"]
    assert (events[1]["size_matched"], events[1]["status"]) == ("20", "MATCHED")
    assert (events[2]["status"], events[2]["price"], events[2]["trader_side"]) == (
        "MATCHED", "0.981", "TAKER",
    )  # fmt: skip
    holding = rig.exchange.accounts.holding(rig.member.account)
    token = holding.token(FAVOURITE, 0)
    assert (token.lots, holding.cash_micro) == (0, 10_000 * SHARE)
    rig.scheduler.run(50)
    assert [e["status"] for e in sink.take()] == ["MINED"]
    rig.scheduler.run(100)
    assert [e["status"] for e in sink.take()] == ["CONFIRMED"]
    fee = record.order.filled_lots * 5 * 981 * 19 // (100 * 1_000_000)
    assert token.lots == 20 * SHARE
    assert abs(10_000 * SHARE - 19_620_000 - fee - holding.cash_micro) <= 10
    kinds = [line["event"] for line in log_lines(tmp_path)]
    assert kinds == ["deposit", "accepted", "trade", "settled"]
    assert rig.exchange.unsettled() == 0
    rig.exchange.engine.check()


def test_failed_trade_gives_everything_back(rig: Rig) -> None:
    sink = rig.listen()
    rig.exchange.faults.fail_trades = 1
    place(rig, rig.body(yes(rig), Side.BUY, 19_800_000, 20 * SHARE, OrderType.FOK))
    sink.take()
    rig.scheduler.run(150)
    assert [e["status"] for e in sink.take()] == ["RETRYING", "FAILED"]
    holding = rig.exchange.accounts.holding(rig.member.account)
    assert (holding.token(FAVOURITE, 0).lots, holding.cash_micro) == (0, 10_000 * SHARE)
    assert holding.reserved_micro == 0
    rig.exchange.engine.check()


def test_maker_sees_its_own_part_inside_the_takers_trade(rig: Rig) -> None:
    record = place(rig, rig.body(no(rig), Side.BUY, 399_000, 21 * SHARE))  # NO at 0.019
    sink = rig.listen()
    flow = rig.flow  # type: ignore[attr-defined]
    flow.markets[FAVOURITE].makers.cancel_level(BookSide.ASK, 9810)
    flow.markets[FAVOURITE].makers.take(BookSide.ASK, 9810, 21 * SHARE)
    update, trade = sink.take()
    assert (update["type"], update["size_matched"]) == ("UPDATE", "21")
    assert trade["trader_side"] == "MAKER"
    mine = trade["maker_orders"][0]
    assert (mine["owner"], mine["order_id"]) == (rig.credentials.api_key, record.order.id)
    assert (mine["asset_id"], mine["price"], mine["side"]) == (no(rig), "0.019", "BUY")
    assert record.status == "MATCHED"
    rest = rig.exchange.trades_of(rig.member.account)[0].rest(taker_view=False)
    assert (rest["status"], rest["err_msg"]) == ("TRADE_STATUS_MATCHED", None)


def test_expired_order_is_told_as_a_cancellation(rig: Rig) -> None:
    sink = rig.listen()
    until = START_MS // 1000 + 200
    body = rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE, OrderType.GTD, expiration_s=until)
    place(rig, body)
    rig.scheduler.run(139_000)
    rig.exchange.expire()
    assert [e["type"] for e in sink.take()] == ["PLACEMENT"]
    rig.scheduler.run(2_000)
    rig.exchange.expire()
    event = sink.take()[0]
    assert (event["type"], event["status"]) == ("CANCELLATION", "CANCELED_EXPIRED_ORDER")


def test_lapsed_heartbeat_cancels_what_rests(rig: Rig) -> None:
    place(rig, rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE))
    rig.exchange.sweep_heartbeats(10**18)
    assert len(rig.exchange.open_records(rig.member.account)) == 1
    rig.member.heartbeat_id, rig.member.heartbeat_ns = "id", 0
    rig.exchange.sweep_heartbeats(10 * 10**9)
    assert len(rig.exchange.open_records(rig.member.account)) == 1
    rig.exchange.sweep_heartbeats(10 * 10**9 + 1)
    assert rig.exchange.open_records(rig.member.account) == []


def test_tick_change_cancels_what_is_off_the_grid_and_is_told(rig: Rig) -> None:
    market = rig.exchange.catalog.markets[FAVOURITE]
    record = place(rig, rig.body(yes(rig), Side.BUY, 18_020_000, 20 * SHARE))  # 0.901
    sink = rig.watch(market)
    sink.take()
    rig.exchange.set_tick(FAVOURITE, 100)
    kinds = [event["event_type"] for event in sink.take()]
    assert kinds[:2] == ["tick_size_change"] * 2
    assert record.status == "CANCELED"
    assert market.rules.tick_ticks == 100
    with pytest.raises(Refusal, match=r"breaks minimum tick size rule: 0\.01"):
        place(rig, rig.body(yes(rig), Side.BUY, 18_020_000, 20 * SHARE))


def test_closed_market_refuses_orders(rig: Rig) -> None:
    rig.exchange.close_market(rig.exchange.catalog.markets[FAVOURITE])
    with pytest.raises(Refusal, match="not yet ready"):
        place(rig, rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE))


CASES: list[tuple[str, Side, int, int, OrderType, str]] = [
    ("size", Side.BUY, 3_600_000, 4 * SHARE, OrderType.GTC, "Size (4) lower than the minimum: 5"),
    ("tick", Side.BUY, 18_010_000, 20 * SHARE, OrderType.GTC, "Price (0.9005) breaks"),
    ("grid", Side.BUY, 18_010_900, 20 * SHARE, OrderType.GTC, "Price (0.900545) breaks"),
    ("cash", Side.BUY, 18_000_000_000, 20_000 * SHARE, OrderType.GTC, "not enough balance"),
    ("token", Side.SELL, 19_000_000, 20 * SHARE, OrderType.GTC, "not enough balance"),
    ("fok", Side.BUY, 9_700_000, 10 * SHARE, OrderType.FOK, "FOK orders are fully filled"),
    ("fak", Side.BUY, 9_700_000, 10 * SHARE, OrderType.FAK, "no orders found to match"),
    ("cents", Side.BUY, 5_886_000, 6 * SHARE, OrderType.FAK, "max accuracy of 2 decimals"),
    ("zero", Side.BUY, 0, 10 * SHARE, OrderType.GTC, "Invalid order payload"),
]


@pytest.mark.parametrize(("_", "side", "cash", "shares", "kind", "text"), CASES)
def test_refusals_carry_the_venues_words(
    rig: Rig, _: str, side: Side, cash: int, shares: int, kind: OrderType, text: str
) -> None:
    body = rig.body(yes(rig), side, cash, shares, kind)
    with pytest.raises(Refusal) as refused:
        place(rig, body)
    assert text in refused.value.text


def test_small_marketable_buy_is_refused(rig: Rig) -> None:
    with pytest.raises(Refusal) as refused:
        place(rig, rig.body(yes(rig, 4), Side.BUY, 300_000, 100 * SHARE))
    assert refused.value.text == "invalid amount for a marketable BUY order ($0.3), min size: $1"


def test_post_only_that_crosses_is_refused(rig: Rig) -> None:
    with pytest.raises(Refusal, match="order crosses book"):
        place(rig, rig.body(yes(rig), Side.BUY, 19_800_000, 20 * SHARE, post_only=True))


def test_same_order_twice_is_duplicated(rig: Rig) -> None:
    body = rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE, salt=99)
    record = place(rig, body)
    with pytest.raises(Refusal) as refused:
        place(rig, body)
    assert refused.value.text == f"order {record.order.id} is invalid. Duplicated."


def break_signature(body: Any) -> None:
    text = body["order"]["signature"]
    body["order"]["signature"] = text[:10] + ("0" if text[10] != "0" else "1") + text[11:]


def make_v1(body: Any) -> None:
    del body["order"]["timestamp"]
    body["order"]["nonce"] = "0"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (break_signature, "signature"),
        (make_v1, "order_version_mismatch"),
        (lambda b: b.update(owner="else"), "order owner has to be the owner"),
        (lambda b: b.pop("order"), "Invalid order payload"),
        (lambda b: b["order"].update(makerAmount="-5"), "Invalid order payload"),
        (lambda b: b["order"].update(makerAmount=1.5), "Invalid order payload"),
        (lambda b: b["order"].update(metadata="0x00"), "Invalid order payload"),
        (lambda b: b["order"].update(side="HOLD"), "Invalid order payload"),
        (lambda b: b["order"].update(tokenId="123"), "No orderbook exists"),
        (lambda b: b["order"].update(takerAmount=str(2**300)), "Invalid order payload"),
    ],
)
def test_bodies_that_are_not_signed_orders_are_refused(rig: Rig, change: Any, text: str) -> None:
    body = rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE)
    change(body)
    with pytest.raises(Refusal, match=text):
        place(rig, body)


def test_order_of_another_wallet_is_refused(rig: Rig) -> None:
    member, credentials = rig.join(funded_signers(8, 1)[0][1])
    body = rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE)
    body["owner"] = credentials.api_key
    with pytest.raises(Refusal, match="order signer address has to be"):
        rig.intake.accept(body, member, credentials, START_MS)


def test_credentials_depend_on_seed_address_and_nonce(rig: Rig) -> None:
    members = rig.exchange.members
    address = rig.signer.address
    assert members.create_key(address, 0) is None
    assert members.derive_key(address, 0) == rig.credentials
    other = members.create_key(address, 5)
    assert other is not None
    assert other.api_key != rig.credentials.api_key
    assert Rig().credentials == rig.credentials
    members.delete_key(other.api_key)
    assert members.derive_key(address, 5) is None
    assert members.find(other.api_key) is None


def test_user_channel_checks_secrets_and_filters_markets(rig: Rig) -> None:
    users = rig.exchange.users
    auth = {
        "apiKey": rig.credentials.api_key,
        "secret": rig.credentials.secret,
        "passphrase": rig.credentials.passphrase,
    }
    sink = rig.listen()
    socket = users.connect(sink)
    for wrong in (None, {}, {**auth, "secret": "x"}, {**auth, "apiKey": "x"}):
        assert not users.on_text(socket, json.dumps({"type": "user", "auth": wrong}))
    assert users.on_text(socket, "PING")
    assert users.on_text(socket, "nonsense")
    assert sink.texts == ["PONG", "INVALID OPERATION"]
    users.disconnect(socket)
    filtered = users.connect(sink)
    other = rig.exchange.catalog.markets[0].condition_id
    assert users.on_text(filtered, json.dumps({"auth": auth, "markets": [other]}))
    sink.texts.clear()
    place(rig, rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE))
    assert len(sink.take()) == 1  # the unfiltered socket alone
    mine = rig.exchange.catalog.markets[FAVOURITE].condition_id
    users.on_text(filtered, json.dumps({"operation": "subscribe", "markets": [mine]}))
    place(rig, rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE))
    assert len(sink.take()) == 2
    users.on_text(filtered, json.dumps({"operation": "unsubscribe", "markets": [mine]}))
    users.silent = True
    place(rig, rig.body(yes(rig), Side.BUY, 18 * SHARE, 20 * SHARE))
    assert sink.texts == []


def test_unwritable_log_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write the log"):
        OrderLog(tmp_path / "absent" / "log")


def test_closed_log_only_counts(tmp_path: Path) -> None:
    log = OrderLog(tmp_path / "log")
    log.close()
    log.write("deposit")
    assert log.counts == {"deposit": 1}
    assert (tmp_path / "log").read_text() == ""
