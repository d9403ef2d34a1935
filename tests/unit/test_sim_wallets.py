"""Order verification: four wallets a key, both order versions, allowances, BUYs by cash."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from oracle import signing_table as table
from oracle.sim_rig import SHARE, START_MS, Rig
from overround.match.types import OrderType, Side
from overround.sim.intake import Intake, Refusal, rejection_text
from overround.sim.members import funded_signers
from overround.sim.ordersv1 import OrderV1, digest_v1, domain_v1, verify_v1
from overround.sim.wallets import UNLIMITED, wallet_addresses
from overround.venues.contract import OrderType as WireType
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.orders import OrderParams, OrderSigner, exchange_domain, order_body

FAVOURITE = 3
V1_DIGEST = "0xd5f552b308e8faf056eef23a70607cfd8f853fce7ec03ec5532954121af4a11f"
V1_SIGNATURE = (
    "0x7290f841bbb5a62ff24ba6c43261716cf82a36e0ee534a095c58253675df02d6"
    "1fccdc904230af648752fdabd321750586ad4bbaee23dfa9dea80a958b9235791c"
)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def body_of(rig: Rig, kind: int, wallet: str | None = None, **options: Any) -> Any:
    """A BUY of 20 at 0.9, signed for a wallet of the rig's key."""
    market = rig.exchange.catalog.markets[FAVOURITE]
    maker = wallet or rig.member.wallets[kind].address
    params = OrderParams(
        salt=options.pop("salt", 1),
        maker=maker,
        signer=maker if kind == 3 else rig.signer.address,
        token_id=int(market.token_yes),
        maker_amount=options.pop("cash", 18 * SHARE),
        taker_amount=options.pop("shares", 20 * SHARE),
        side=0,
        signature_type=kind,
        timestamp_ms=START_MS,
    )
    signed = OrderSigner(rig.signer).sign(params, exchange_domain(neg_risk=True))
    order_type = options.pop("order_type", WireType.GTC)
    return json.loads(order_body(signed, rig.credentials.api_key, order_type, **options))


def body_v1(rig: Rig, signer: Signer | None = None, **changes: Any) -> Any:
    """The same BUY as the first version signs it."""
    signer = signer or rig.signer
    market = rig.exchange.catalog.markets[FAVOURITE]
    order = OrderV1(
        salt=7, maker=signer.address, signer=signer.address, taker="0x" + "0" * 40,
        token_id=int(market.token_yes), maker_amount=18 * SHARE, taker_amount=20 * SHARE,
        expiration=0, nonce=0, fee_rate_bps=0, side=0, signature_type=0,
    )._replace(**changes)  # fmt: skip
    digest = digest_v1(order, domain_v1(neg_risk=True))
    fields = {
        "salt": order.salt, "maker": order.maker, "signer": order.signer, "taker": order.taker,
        "tokenId": str(order.token_id), "makerAmount": str(order.maker_amount),
        "takerAmount": str(order.taker_amount), "expiration": str(order.expiration),
        "nonce": str(order.nonce), "feeRateBps": str(order.fee_rate_bps), "side": "BUY",
        "signatureType": order.signature_type,
        "signature": "0x" + signer.sign_digest(digest).hex(),
    }  # fmt: skip
    return {"order": fields, "owner": rig.credentials.api_key, "orderType": "GTC"}


def intake_of(rig: Rig, **settings: Any) -> Intake:
    return Intake(rig.exchange.catalog, strict_amounts=True, **settings)


def accept(rig: Rig, intake: Intake, body: Any) -> Any:
    return intake.accept(body, rig.member, rig.credentials, rig.exchange.now_ms)


# -- wallets ---------------------------------------------------------------------------------


def test_wallets_stand_where_the_official_client_derives_them() -> None:
    from polymarket._internal import wallet as official
    from polymarket.environments import PRODUCTION

    config = PRODUCTION._config.wallet_derivation
    for _, signer in funded_signers(3, 5):
        assert wallet_addresses(signer.address) == (
            signer.address,
            official.derive_proxy_wallet_address(signer.address, config),
            official.derive_safe_wallet_address(signer.address, config),
            official.derive_beacon_deposit_wallet_address(signer.address, config),
        )


@pytest.mark.parametrize("kind", range(4))
def test_an_order_draws_on_the_wallet_of_its_signature_type(rig: Rig, kind: int) -> None:
    if kind:
        rig.exchange.fund(rig.member, 100 * SHARE, kind)
    record = rig.accept(body_of(rig, kind))
    wallet = rig.member.wallets[kind]
    assert (record.order.account, record.party.address) == (wallet.account, wallet.address)
    assert rig.exchange.place(record) is None
    assert rig.exchange.accounts.holding(wallet.account).reserved_micro == 18 * SHARE
    assert [r.order.id for r in rig.exchange.open_records(rig.member.account)] == [record.order.id]
    assert rig.exchange.cancel_ids(rig.member, [record.order.id]) == ([record.order.id], {})


def test_money_in_one_wallet_does_not_serve_another(rig: Rig) -> None:
    record = rig.accept(body_of(rig, 2))
    rejected = rig.exchange.place(record)
    assert rejected is not None
    assert rejection_text(rejected, record.market) == (
        "not enough balance / allowance: the balance is not enough -> "
        "balance: 0, order amount: 18000000"
    )


@pytest.mark.parametrize("kind", range(4))
def test_a_wallet_of_somebody_else_cannot_be_drawn_on(rig: Rig, kind: int) -> None:
    other = funded_signers(9, 1)[0][1]
    foreign = wallet_addresses(other.address)[kind]
    with pytest.raises(Refusal, match="invalid signature"):
        rig.accept(body_of(rig, kind, foreign))
    mixed = rig.member.wallets[(kind + 1) % 4].address
    with pytest.raises(Refusal, match="invalid signature"):
        rig.accept(body_of(rig, kind, mixed))


def test_a_stranger_cannot_sign_for_a_deposit_wallet(rig: Rig) -> None:
    body = body_of(rig, 3)
    stranger = funded_signers(9, 1)[0][1]
    rig.signer = stranger
    forged = body_of(rig, 3)
    assert forged["order"]["maker"] == body["order"]["maker"]
    with pytest.raises(Refusal, match="the order signer address has to be the address of the API"):
        rig.accept(forged)


def test_an_exchange_for_deposit_wallets_alone_refuses_the_keys_own_address(rig: Rig) -> None:
    intake = intake_of(rig, deposit_only=True)
    with pytest.raises(
        Refusal, match=r"^maker address not allowed, please use the deposit wallet flow$"
    ):
        accept(rig, intake, body_of(rig, 0))
    assert accept(rig, intake, body_of(rig, 3)).order.account == rig.member.account + 3


def test_all_wallets_lose_their_orders_with_the_heartbeat(rig: Rig) -> None:
    for kind in (0, 3):
        rig.exchange.fund(rig.member, 100 * SHARE, kind)
        assert rig.exchange.place(rig.accept(body_of(rig, kind))) is None
    rig.member.heartbeat_id = "x"
    rig.exchange.sweep_heartbeats(11_000_000_000)
    assert rig.exchange.open_records(rig.member.account) == []


# -- allowances ------------------------------------------------------------------------------


def test_an_allowance_counts_once_the_exchange_has_read_it(rig: Rig) -> None:
    spender = exchange_domain(neg_risk=True).contract
    wallet = rig.member.wallets[0]
    wallet.approve("COLLATERAL", spender.upper().replace("0X", "0x"), 17 * SHARE)
    rig.accept(body_of(rig, 0))
    wallet.refresh()
    with pytest.raises(Refusal) as refused:
        rig.accept(body_of(rig, 0))
    assert refused.value.text == (
        "not enough balance / allowance: the allowance is not enough -> "
        f"spender: {spender}, allowance: 17000000, order amount: 18000000"
    )
    wallet.approve("COLLATERAL", spender, UNLIMITED)
    wallet.refresh()
    rig.accept(body_of(rig, 0))


def test_a_sell_needs_the_tokens_approved(rig: Rig) -> None:
    market = rig.exchange.catalog.markets[FAVOURITE]
    wallet = rig.member.wallets[0]
    wallet.approve("CONDITIONAL", exchange_domain(neg_risk=True).contract, 0)
    wallet.refresh()
    rig.accept(body_of(rig, 0))
    with pytest.raises(Refusal, match="allowance: 0, order amount: 20000000"):
        rig.accept(rig.body(market.token_yes, Side.SELL, 18 * SHARE, 20 * SHARE))


# -- the first version -----------------------------------------------------------------------


def test_known_answer_of_the_first_version() -> None:
    order = OrderV1(
        salt=479249096, maker=table.ADDRESS, signer=table.ADDRESS, taker="0x" + "0" * 40,
        token_id=table.TOKEN, maker_amount=5_200_000, taker_amount=10_000_000,
        expiration=0, nonce=0, fee_rate_bps=0, side=0, signature_type=0,
    )  # fmt: skip
    domain = domain_v1(neg_risk=False)
    assert "0x" + digest_v1(order, domain).hex() == V1_DIGEST
    assert verify_v1(order, V1_SIGNATURE, domain) == table.ADDRESS
    assert verify_v1(order._replace(nonce=1), V1_SIGNATURE, domain) is None
    assert verify_v1(order, V1_SIGNATURE, domain_v1(neg_risk=True)) is None
    assert verify_v1(order, "0xzz", domain) is None
    assert verify_v1(order._replace(signature_type=3), V1_SIGNATURE, domain) is None


def test_each_mode_refuses_the_other_version(rig: Rig) -> None:
    first = intake_of(rig, version=1)
    assert accept(rig, first, body_v1(rig)).order.price_ticks == 9_000
    with pytest.raises(Refusal, match=r"^order_version_mismatch$"):
        accept(rig, first, body_of(rig, 0))
    with pytest.raises(Refusal, match=r"^order_version_mismatch$"):
        rig.accept(body_v1(rig))


def test_first_version_orders_that_cannot_be(rig: Rig) -> None:
    first = intake_of(rig, version=1)
    with pytest.raises(Refusal, match="invalid nonce"):
        accept(rig, first, body_v1(rig, nonce=1))
    with pytest.raises(Refusal, match="Invalid order payload"):
        accept(rig, first, body_v1(rig, taker_amount=0))
    body = body_v1(rig)
    body["order"]["signatureType"] = 3
    with pytest.raises(Refusal, match="Invalid order payload"):
        accept(rig, first, body)


@pytest.mark.parametrize(
    ("name", "value"),
    [("salt", 8), ("feeRateBps", "1"), ("expiration", "9"), ("taker", "0x" + "1" * 40)],
)
def test_a_changed_first_version_order_is_not_signed(rig: Rig, name: str, value: Any) -> None:
    body = body_v1(rig)
    body["order"][name] = value
    with pytest.raises(Refusal, match="invalid signature"):
        accept(rig, intake_of(rig, version=1), body)


# -- BUYs by cash ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_cash", "cash", "filled"),
    [(False, 19_80, 20), (True, 19_80, 20.183486), (True, 59_40, 60.539714)],
)
def test_a_market_buy_spends_its_cash_where_the_venue_does(
    rig: Rig, by_cash: bool, cash: int, filled: float
) -> None:
    rig.exchange.submit(_flow_ask(rig, "a", 9_810, 50))
    rig.exchange.submit(_flow_ask(rig, "b", 9_820, 500))
    intake = intake_of(rig, buys_dollars=by_cash)
    micro = cash * 10_000
    body = body_of(rig, 0, cash=micro, shares=micro * 100 // 99, order_type=WireType.FOK)
    record = accept(rig, intake, body)
    assert rig.exchange.place(record) is None
    spent = sum(t.matched.cash_micro for t in rig.exchange.trades_of(rig.member.account))
    assert record.order.filled_lots == round(filled * SHARE)
    assert spent <= micro
    if by_cash:
        assert micro - spent <= 2
    rig.exchange.engine.check()


def test_a_fok_whose_cash_the_book_cannot_take_is_killed(rig: Rig) -> None:
    rig.exchange.submit(_flow_ask(rig, "a", 9_810, 50))
    body = body_of(rig, 0, cash=99 * SHARE, shares=100 * SHARE, order_type=WireType.FOK)
    record = accept(rig, intake_of(rig, buys_dollars=True), body)
    rejected = rig.exchange.place(record)
    assert rejected is not None
    assert "couldn't be fully filled" in rejection_text(rejected, record.market)


_numbers = itertools.count()


def _flow_ask(rig: Rig, name: str, ticks: int, shares: int) -> Any:
    from overround.match.types import Order, Outcome

    rig.exchange.accounts.grant(1, FAVOURITE, Outcome.YES, shares * SHARE)
    order_id = f"0x{next(_numbers):064x}"
    return Order(
        order_id, 1, FAVOURITE, Outcome.YES, Side.SELL, ticks, shares * SHARE, OrderType.GTC
    )
